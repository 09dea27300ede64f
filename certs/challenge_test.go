package certs

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mholt/acmez/v3/acme"
)

// noSolver has the zone example.com, and fails.
type noSolver struct{}

func (noSolver) Covers(name string) bool { return strings.HasSuffix("."+name, ".example.com") }
func (noSolver) Present(context.Context, acme.Challenge) error {
	return errors.New("the DNS provider is on holiday")
}
func (noSolver) Wait(context.Context, acme.Challenge) error    { return nil }
func (noSolver) CleanUp(context.Context, acme.Challenge) error { return nil }

// The challenge is the one that can work.
func TestWays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg        Config
		name, wish string
		want       string // challenges of each way, or words of the error
	}{
		{Config{}, "a.example.com", "", "http-01,tls-alpn-01"},
		{Config{HTTPPort: -1}, "a.example.com", "", "tls-alpn-01"},
		{Config{TLSPort: -1}, "a.example.com", "", "http-01"},
		{Config{DNS: noSolver{}}, "a.example.com", "", "dns-01 http-01,tls-alpn-01"},
		{Config{DNS: noSolver{}}, "a.example.org", "", "http-01,tls-alpn-01"},
		{Config{DNS: noSolver{}}, "8.8.8.8", "", "http-01,tls-alpn-01"},
		{Config{DNS: noSolver{}, HTTPPort: -1, TLSPort: -1}, "a.example.com", "", "dns-01"},
		{Config{DNS: noSolver{}, HTTPPort: -1, TLSPort: -1}, "a.example.org", "", "error: no challenge for a.example.org can arrive"},
		{Config{DNS: noSolver{}}, "a.example.com", "dns-01", "dns-01"},
		{Config{DNS: noSolver{}}, "a.example.com", "http-01", "http-01"},
		{Config{DNS: noSolver{}}, "a.example.com", "tls-alpn-01", "tls-alpn-01"},
		{Config{}, "a.example.com", "dns-01", "error: set dns-provider"},
		{Config{HTTPPort: -1}, "a.example.com", "http-01", "error: cannot arrive here, since http is off"},
		{Config{TLSPort: -1}, "a.example.com", "tls-alpn-01", "error: cannot arrive here, since https is off"},
		{Config{DNS: noSolver{}}, "*.example.com", "", "dns-01"},
		{Config{DNS: noSolver{}}, "*.example.com", "dns-01", "dns-01"},
		{Config{DNS: noSolver{}}, "*.example.com", "http-01", "error: remove tls.challenge"},
		{Config{DNS: noSolver{}}, "*.example.org", "", "error: set dns-provider to the one that has the zone of example.org"},
		{Config{}, "*.example.com", "", "error: set dns-provider"},
	} {
		ways, err := newProver(c.cfg).ways(c.name, c.wish)
		if wrong, ok := strings.CutPrefix(c.want, "error: "); ok {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s with wish %q and %+v: got %v, want an error with %q", c.name, c.wish, c.cfg, err, wrong)
			}
			continue
		}
		var got []string
		for _, w := range ways {
			got = append(got, strings.Join(w.challenges, ","))
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s with wish %q: got %q, %v, want %q", c.name, c.wish, got, err, c.want)
		}
	}
}
