package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-acme/lego/v5/challenge"
	"github.com/go-acme/lego/v5/challenge/dns01"

	"portway/certs/dns/route53"
)

// awsName is of the one provider that is not lego's: AWS's SDK costs too much.
const awsName = "route53"

// aws makes ours of the variables that lego's has too. Without keys, lego's is better where
// the build has it, since that finds roles of machines and files of AWS's tools.
func aws(name string) (challenge.Provider, error) {
	if name != awsName {
		return nil, nil
	}
	var vars variables
	cfg := route53.Config{
		Credentials: route53.Credentials{KeyID: vars.text("AWS_ACCESS_KEY_ID"), Secret: vars.text("AWS_SECRET_ACCESS_KEY"), Session: vars.text("AWS_SESSION_TOKEN")},
		Region:      vars.text("AWS_REGION"),
		Endpoint:    cmp.Or(vars.text("AWS_ENDPOINT_URL_ROUTE_53"), vars.text("AWS_ENDPOINT_URL")),
		Zone:        vars.text("AWS_HOSTED_ZONE_ID"),
		Private:     vars.text("AWS_PRIVATE_ZONE") == "true",
		TTL:         vars.seconds("AWS_TTL", 10*time.Second),
		Client:      &http.Client{Timeout: 30 * time.Second, Transport: http.DefaultTransport},
	}
	p := &awsProvider{
		limit: vars.seconds("AWS_PROPAGATION_TIMEOUT", 2*time.Minute), interval: vars.seconds("AWS_POLLING_INTERVAL", 4*time.Second),
		changes: make(map[string]string),
	}
	if vars.err != nil {
		return nil, vars.err
	}
	role := vars.text("AWS_ASSUME_ROLE_ARN") != ""
	if cfg.KeyID == "" || cfg.Secret == "" || role {
		if api, err := heavy(name); api != nil || err != nil {
			return api, err
		}
		if role {
			return nil, errors.New("AWS_ASSUME_ROLE_ARN needs a build with AWS's SDK")
		}
		return nil, errors.New("some access data is missing: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
	}
	p.client = route53.New(cfg)
	return p, nil
}

// awsProvider is a challenge.Provider.
type awsProvider struct {
	client          *route53.Client
	limit, interval time.Duration

	mu      sync.Mutex
	changes map[string]string // by key authorisation: what Settle waits for
}

// Present makes the record.
func (p *awsProvider) Present(ctx context.Context, domain, _, auth string) error {
	info := dns01.GetChallengeInfo(ctx, domain, auth)
	change, err := p.client.Add(ctx, info.EffectiveFQDN, info.Value)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes[auth] = change
	return nil
}

// Settle waits until Amazon says that all its servers know the record: those that we can
// ask are only the nearest of them.
func (p *awsProvider) Settle(ctx context.Context, auth string) error {
	p.mu.Lock()
	change := p.changes[auth]
	p.mu.Unlock()
	return p.client.Done(ctx, change, p.interval)
}

// CleanUp removes the record.
func (p *awsProvider) CleanUp(ctx context.Context, domain, _, auth string) error {
	p.mu.Lock()
	delete(p.changes, auth)
	p.mu.Unlock()
	info := dns01.GetChallengeInfo(ctx, domain, auth)
	return p.client.Remove(ctx, info.EffectiveFQDN, info.Value)
}

// Timeout is how long a record may take.
func (p *awsProvider) Timeout() (limit, interval time.Duration) { return p.limit, p.interval }

// variables reads the environment as lego does: NAME_FILE names a file with the value.
type variables struct{ err error }

func (v *variables) text(name string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	file := os.Getenv(name + "_FILE")
	if file == "" {
		return ""
	}
	content, err := os.ReadFile(file)
	if err != nil {
		v.err = errors.Join(v.err, fmt.Errorf("%s_FILE: %w", name, err))
	}
	return strings.TrimSpace(string(content))
}

func (v *variables) seconds(name string, otherwise time.Duration) time.Duration {
	text := v.text(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		v.err = errors.Join(v.err, fmt.Errorf("%s is no number of seconds: %q", name, text))
	}
	return time.Duration(n) * time.Second
}
