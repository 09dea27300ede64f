package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// caFacts is what a CA says about itself.
type caFacts struct {
	identities []string // by which CAA records name it
	clock      string   // what is wrong with our clock; empty: nothing that is known
	until      time.Time
}

const (
	factsLast = time.Hour
	drift     = 2 * time.Minute // of clocks, which is tolerated
)

// askCA fetches the directory; its answer stands for a while, since many names
// may come at once.
func (c *Checker) askCA(ctx context.Context, t Target) caFacts {
	c.mu.Lock()
	facts, ok := c.cas[t.Directory]
	c.mu.Unlock()
	if ok && time.Now().Before(facts.until) {
		return facts
	}
	facts = fetchCA(ctx, t)
	if facts.until.IsZero() {
		return facts // it cannot be reached: the order will tell
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cas[t.Directory] = facts
	return facts
}

func fetchCA(ctx context.Context, t Target) caFacts {
	resp, err := get(ctx, t.Directory, &tls.Config{RootCAs: t.Roots})
	if wrong := (x509.CertificateInvalidError{}); errors.As(err, &wrong) && wrong.Reason == x509.Expired {
		// Perhaps it is our clock by which the CA's own certificate has expired. Nothing
		// but the time is believed here.
		if resp, err = get(ctx, t.Directory, &tls.Config{InsecureSkipVerify: true}); err == nil {
			defer func() { _ = resp.Body.Close() }()
			return caFacts{clock: compareClock(resp.Header.Get("Date"), time.Now())}
		}
	}
	if err != nil {
		return caFacts{}
	}
	defer func() { _ = resp.Body.Close() }()
	facts := caFacts{clock: compareClock(resp.Header.Get("Date"), time.Now()), until: time.Now().Add(factsLast)}
	var directory struct {
		Meta struct {
			Identities []string `json:"caaIdentities"`
		} `json:"meta"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&directory) == nil {
		for _, identity := range directory.Meta.Identities {
			facts.identities = append(facts.identities, strings.ToLower(identity))
		}
	}
	return facts
}

func get(ctx context.Context, url string, conf *tls.Config) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &cancelling{resp.Body, cancel}
	return resp, nil
}

// cancelling frees a request's context when its answer is closed.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// compareClock tells what is wrong with our clock if theirs says date.
func compareClock(date string, now time.Time) string {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return ""
	}
	off := now.Sub(theirs).Round(time.Second)
	if off.Abs() <= drift {
		return ""
	}
	direction := "ahead of"
	if off < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("The clock of this machine is %v %s the CA's: set it right, or certificates seem to be expired or not valid yet.", off.Abs(), direction)
}
