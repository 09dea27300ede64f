package dns

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// A challenge by Route 53: the record is set by an account whose secret is in a file, and
// the CA is told once Amazon says that all its servers know it.
func TestRoute53(t *testing.T) {
	var asked []string
	pending := 2
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		status := "INSYNC"
		switch {
		case !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIDEXAMPLE/"):
			w.WriteHeader(http.StatusForbidden)
		case strings.Contains(r.URL.Path, "/change/"):
			if pending > 0 {
				pending--
				status = "PENDING"
			}
			_, _ = io.WriteString(w, "<R><ChangeInfo><Id>/change/C1</Id><Status>"+status+"</Status></ChangeInfo></R>")
		case r.Method == http.MethodPost:
			body, err := io.ReadAll(r.Body)
			if err != nil || !strings.Contains(string(body), "<Name>_acme-challenge.example.com.</Name><Type>TXT</Type><TTL>7</TTL>") {
				t.Errorf("%s, %v", body, err)
			}
			_, _ = io.WriteString(w, "<R><ChangeInfo><Id>/change/C1</Id></ChangeInfo></R>")
		default:
			_, _ = io.WriteString(w, "<R></R>")
		}
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("secret-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "", "AWS_SECRET_ACCESS_KEY_FILE": file, "AWS_HOSTED_ZONE_ID": "Z1", "AWS_TTL": "7",
		"AWS_ENDPOINT_URL_ROUTE_53": s.URL, "AWS_POLLING_INTERVAL": "0",
	} {
		t.Setenv(name, value)
	}
	solver, err := New(Config{Providers: []string{"route53"}, Check: None, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	solver.resolver = newResolver([]string{"127.0.0.1:1"})
	useForLego(solver.resolver, solver.log, nil)
	c := challengeFor("example.com", "a")
	if err := errors.Join(solver.Present(t.Context(), c), solver.Wait(t.Context(), c), solver.CleanUp(t.Context(), c)); err != nil {
		t.Fatal(err)
	}
	want := "GET /2013-04-01/hostedzone/Z1/rrset, POST /2013-04-01/hostedzone/Z1/rrset, " +
		strings.Repeat("GET /2013-04-01/change/C1, ", 3) + "GET /2013-04-01/hostedzone/Z1/rrset"
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("asked: %s, want %s", got, want)
	}
	// Without what it needs, it says so.
	t.Setenv("AWS_SECRET_ACCESS_KEY_FILE", "")
	if len(heavyNames()) == 0 { // else the SDK looks elsewhere
		if _, err := newProvider("route53", ""); err == nil || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY") {
			t.Errorf("without a secret: %v", err)
		}
		t.Setenv("AWS_ASSUME_ROLE_ARN", "arn:x")
		if _, err := newProvider("route53", ""); err == nil || !strings.Contains(err.Error(), "AWS_ASSUME_ROLE_ARN needs a build with") {
			t.Errorf("with a role: %v", err)
		}
	}
	t.Setenv("AWS_TTL", "soon")
	if _, err := newProvider("route53", ""); err == nil || !strings.Contains(err.Error(), "AWS_TTL is no number of seconds") {
		t.Errorf("with a wrong number: %v", err)
	}
}

// settling is a provider that says when a record is everywhere.
type settling struct {
	api
	err error
}

func (s *settling) Settle(ctx context.Context, _ string) error {
	if _, limited := ctx.Deadline(); !limited {
		return errors.New("no limit")
	}
	return s.err
}

func (s *settling) Timeout() (limit, interval time.Duration) {
	return time.Minute, time.Second
}

func TestSettlingFails(t *testing.T) {
	a := &settling{api: api{t: t}, err: errFake}
	s := &Solver{cfg: Config{Check: None}, providers: []*provider{{name: "test", api: a}}, log: slog.New(slog.DiscardHandler), open: make(map[string]*presented)}
	c := acme.Challenge{KeyAuthorization: "x", Identifier: acme.Identifier{Value: "example.com"}}
	s.add(c, &presented{provider: s.providers[0], fqdn: "_acme-challenge.example.com."})
	if err := s.Wait(t.Context(), c); err == nil || !strings.Contains(err.Error(), "did not get to all servers of the DNS provider test within 1m0s: no") {
		t.Errorf("%v", err)
	}
}
