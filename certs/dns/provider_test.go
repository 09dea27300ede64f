package dns

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

func TestNames(t *testing.T) {
	names := Names()
	t.Logf("FIGURE: %d names of DNS providers in this build", len(names))
	if len(names) < 150 || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("%d names", len(names))
	}
	for _, name := range names { // those that are known say what they lack, or need nothing
		if api, err := light(name); err == nil && api == nil {
			if api, err := heavy(name); err == nil && api == nil {
				if api, err := aws(name); err == nil && api == nil {
					t.Errorf("%s is listed, but not known", name)
				}
			}
		}
	}
}

func TestWrongSettings(t *testing.T) {
	for _, c := range []struct {
		providers []string
		want      string
	}{
		{[]string{"hetznr"}, `there is no DNS provider "hetznr"`},
		{[]string{"manual"}, "asks on a terminal"},
		{[]string{"cloudflare"}, "the DNS provider cloudflare: cloudflare: some credentials information are missing: CLOUDFLARE_EMAIL"},
		{[]string{"exec=exec"}, "EXEC_PATH"},
		{[]string{""}, "there is no DNS provider"},
	} {
		if _, err := New(Config{Providers: c.providers, Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.providers, err, c.want)
		}
	}
	t.Setenv("EXEC_PATH", "/bin/true")
	if _, err := New(Config{Providers: []string{"exec", "exec"}, Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "two providers for the same names") {
		t.Errorf("got %v", err)
	}
}

// A provider for a zone goes before the one for all.
func TestZones(t *testing.T) {
	t.Setenv("EXEC_PATH", "/bin/true")
	t.Setenv("HTTPREQ_ENDPOINT", "http://127.0.0.1:1")
	s, err := New(Config{Providers: []string{"example.com=exec", "Sub.Example.com.=httpreq"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"example.com": "exec", "*.example.com": "exec", "a.example.com": "exec",
		"sub.example.com": "httpreq", "*.a.sub.example.com": "httpreq",
		"notexample.com": "", "example.org": "",
	} {
		got := ""
		if p := s.providerFor(name); p != nil {
			got = p.name
		}
		if got != want || s.Covers(name) != (want != "") {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if err := s.Present(t.Context(), acme.Challenge{Identifier: acme.Identifier{Value: "example.org"}}); err == nil {
		t.Error("a challenge without a provider went well")
	}
}

func TestSecretsAreHidden(t *testing.T) {
	t.Setenv("TEST_TOKEN", "s3cret+value/x")
	t.Setenv("TEST_TOKEN_LONGER", "s3cret+value/x-and-more")
	t.Setenv("TEST_KEY", "1")
	t.Setenv("TEST_ZONE", "example.com")
	hidden := environment()
	text := `Get "https://a.example.com/1?token=s3cret%2Bvalue%2Fx": s3cret+value/x s3cret+value/x-and-more`
	if got, want := hidden.hide(text), `Get "https://a.example.com/1?token=***": *** ***`; got != want {
		t.Errorf("got %s", got)
	}
}

// api is a provider that notes what is called, one record for the whole account.
type api struct {
	mu      sync.Mutex
	calling int
	records []string
	fail    error
	t       *testing.T
}

func (a *api) call(change func()) error {
	a.mu.Lock()
	a.calling++
	if a.calling > 1 {
		a.t.Error("two calls at once")
	}
	a.mu.Unlock()
	time.Sleep(time.Millisecond) // so that another call would meet this one
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calling--
	if a.fail == nil {
		change()
	}
	return a.fail
}

func (a *api) Present(_ context.Context, _, _, auth string) error {
	return a.call(func() { a.records = append(a.records, auth) })
}

// CleanUp removes all records, as some providers do.
func (a *api) CleanUp(context.Context, string, string, string) error {
	return a.call(func() { a.records = nil })
}

func (a *api) has(auth string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.records, auth)
}

// A provider is called by one at a time, and a record stays until no challenge for the
// same name needs it, whatever the provider removes.
func TestProvidersAreCalledOneAtATime(t *testing.T) {
	for _, alone := range []bool{false, true} {
		a := &api{t: t}
		p := &provider{name: "test", api: a}
		if alone {
			p.key = func(string) string { return "" }
		}
		s := &Solver{cfg: Config{Check: None}, providers: []*provider{p}, resolver: newResolver([]string{"127.0.0.1:1"}), log: slog.New(slog.DiscardHandler), open: make(map[string]*presented)}
		useForLego(s.resolver, s.log, nil)
		var g sync.WaitGroup
		for i := range 8 {
			g.Go(func() {
				c := challengeFor("example.com", string(rune('a'+i)))
				if err := errors.Join(s.Present(t.Context(), c), s.Wait(t.Context(), c)); err != nil {
					t.Error(err)
				}
				if !a.has(c.KeyAuthorization) {
					t.Error("the record is gone before its time")
				}
				if err := s.CleanUp(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		g.Wait()
		if len(a.records) > 0 || len(s.open) > 0 || len(p.calls.held)+len(p.alone.held) > 0 {
			t.Errorf("left: %d records, %d challenges", len(a.records), len(s.open))
		}
		a.fail = errFake
		c := challengeFor("example.com", "x")
		if err := s.Present(t.Context(), c); err == nil || len(s.open) > 0 || len(p.calls.held)+len(p.alone.held) > 0 {
			t.Errorf("after a failure: %v, %d challenges", err, len(s.open))
		}
	}
}

var errFake = errors.New("no")
