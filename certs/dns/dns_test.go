package dns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"portway/internal/dnstest"
)

// The program of TestExec: what EXEC_PATH names is this test, which is told by the
// variable to be one.
func TestMain(m *testing.M) {
	if addr := os.Getenv("TEST_EXEC_ADDR"); addr != "" && len(os.Args) == 4 {
		if err := execHook(addr, os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("done with the secret", os.Getenv("TEST_EXEC_SECRET"))
		return
	}
	os.Exit(m.Run())
}

func execHook(addr, command, fqdn, value string) error {
	s := &dnstest.Server{Addr: addr, KeyName: "portway.", KeySecret: os.Getenv("TEST_EXEC_SECRET")}
	if command == "cleanup" {
		return s.Remove("example.com", fqdn, value)
	}
	return s.Add("example.com", fqdn, value)
}

// setenv sets what a provider reads.
func setenv(t *testing.T, env map[string]string) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
}

// solver makes one that asks s for zones.
func solver(t *testing.T, s *dnstest.Server, cfg Config) (*Solver, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	cfg.Resolvers = []string{s.Addr}
	var mu sync.Mutex
	cfg.Logger = slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	solver, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return solver, log
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func challengeFor(name, token string) acme.Challenge {
	return acme.Challenge{
		Type: acme.ChallengeTypeDNS01, Token: token, KeyAuthorization: token + ".thumbprint",
		Identifier: acme.Identifier{Type: "dns", Value: name},
	}
}

// solve goes through one challenge, and gives what was at record before its end.
func solve(t *testing.T, solver *Solver, s *dnstest.Server, name, record string) []string {
	t.Helper()
	c := challengeFor(name, "token-for-"+name)
	if err := solver.Present(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := solver.Wait(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	seen := s.TXT(record)
	if !slices.Contains(seen, c.DNS01KeyAuthorization()) {
		t.Errorf("at %s is %q, want %q", record, seen, c.DNS01KeyAuthorization())
	}
	if err := solver.CleanUp(t.Context(), c); err != nil {
		t.Error(err)
	}
	return seen
}

func TestDynamicUpdate(t *testing.T) {
	s := dnstest.Start(t, map[string]string{"example.com": "a A 127.0.0.1"})
	setenv(t, s.Env())
	for _, name := range []string{"dnsupdate", "rfc2136"} {
		solver, _ := solver(t, s, Config{Providers: []string{name}})
		solve(t, solver, s, "a.example.com", "_acme-challenge.a.example.com")
		if left := s.TXT("_acme-challenge.a.example.com"); len(left) > 0 {
			t.Errorf("%s: left behind: %q", name, left)
		}
	}
}

// A CNAME says in which other zone the record has to be; only that zone is changed.
func TestDelegation(t *testing.T) {
	s := dnstest.Start(t, map[string]string{
		"example.com": "_acme-challenge.a CNAME between.example.com.\nbetween CNAME 5f0c.auth.example.net.",
		"example.net": "",
	})
	setenv(t, s.Env())
	solver, _ := solver(t, s, Config{Providers: []string{"rfc2136"}})
	solve(t, solver, s, "a.example.com", "5f0c.auth.example.net")
}

// acme-dns has a record for each account, and is told of values by HTTP. The API here is
// the test's own, since acme-dns itself cannot be had; DNS and delegation are real.
func TestAcmeDNS(t *testing.T) {
	s := dnstest.Start(t, map[string]string{
		"example.com": "_acme-challenge.a CNAME 5f0c.auth.example.net.",
		"example.net": "",
	})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var update struct{ Subdomain, TXT string }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &update); err != nil || r.URL.Path != "/update" || r.Header.Get("X-Api-Key") != "the-password" {
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		if err := s.Add("example.net", update.Subdomain+".auth.example.net", update.TXT); err != nil {
			http.Error(w, "{}", http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"txt": %q}`, update.TXT)
	}))
	defer api.Close()
	accounts := filepath.Join(t.TempDir(), "accounts.json")
	if err := os.WriteFile(accounts, []byte(`{"a.example.com": {"username": "u", "password": "the-password",
		"fulldomain": "5f0c.auth.example.net", "subdomain": "5f0c", "server_url": "`+api.URL+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	setenv(t, map[string]string{"ACME_DNS_API_BASE": api.URL, "ACME_DNS_STORAGE_PATH": accounts})
	solver, _ := solver(t, s, Config{Providers: []string{"acme-dns"}})
	solve(t, solver, s, "a.example.com", "5f0c.auth.example.net")
}

func TestExec(t *testing.T) {
	s := dnstest.Start(t, map[string]string{"example.com": ""})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	setenv(t, map[string]string{"EXEC_PATH": self, "TEST_EXEC_ADDR": s.Addr, "TEST_EXEC_SECRET": s.KeySecret, "EXEC_POLLING_INTERVAL": "1"})
	solver, log := solver(t, s, Config{Providers: []string{"exec"}})
	solve(t, solver, s, "a.example.com", "_acme-challenge.a.example.com")
	if left := s.TXT("_acme-challenge.a.example.com"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if text := log.String(); !strings.Contains(text, "done with the secret ***") || strings.Contains(text, s.KeySecret) {
		t.Errorf("what the program says is not in the log, or with the secret:\n%s", text)
	}
}

func TestHTTPRequest(t *testing.T) {
	s := dnstest.Start(t, map[string]string{"example.com": ""})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var update struct{ FQDN, Value string }
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &update); err != nil || user != "me" || password != "from-a-file" {
			http.Error(w, "who are you, "+password+"?", http.StatusUnauthorized)
			return
		}
		change := s.Add
		if r.URL.Path == "/cleanup" {
			change = s.Remove
		}
		if err := change("example.com", update.FQDN, update.Value); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	defer api.Close()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setenv(t, map[string]string{"HTTPREQ_ENDPOINT": api.URL, "HTTPREQ_USERNAME": "me", "HTTPREQ_PASSWORD_FILE": file})
	good, _ := solver(t, s, Config{Providers: []string{"httpreq"}})
	solve(t, good, s, "a.example.com", "_acme-challenge.a.example.com")

	// A provider that refuses is reported, and what it says of the secret is hidden.
	if err := os.WriteFile(file, []byte("a-wrong-one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad, _ := solver(t, s, Config{Providers: []string{"httpreq"}})
	err := bad.Present(t.Context(), challengeFor("a.example.com", "t"))
	var ours *Error
	if !errors.As(err, &ours) || !strings.Contains(err.Error(), "httpreq could not set the TXT record _acme-challenge.a.example.com.") ||
		!strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "a-wrong-one") {
		t.Errorf("got %v", err)
	}
	if err := bad.CleanUp(t.Context(), challengeFor("a.example.com", "t")); err != nil {
		t.Errorf("there was nothing to clean up: %v", err)
	}
}

// The CA is told when the last authoritative server has the record, not before.
func TestPropagation(t *testing.T) {
	second := dnstest.Start(t, map[string]string{"example.com": ""})
	s := dnstest.Start(t, map[string]string{"example.com": ""}, second)
	setenv(t, s.Env())
	short, _ := solver(t, s, Config{Providers: []string{"rfc2136"}, Timeout: 2 * time.Second})
	c := challengeFor("a.example.com", "t")
	if err := short.Present(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	err := short.Wait(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "ns2.example.com ("+second.Addr+") does not have it") {
		t.Errorf("the second server lacks it: got %v", err)
	}
	if err := second.Add("example.com", "_acme-challenge.a.example.com", c.DNS01KeyAuthorization()); err != nil {
		t.Fatal(err)
	}
	if err := short.Wait(t.Context(), c); err != nil {
		t.Error(err)
	}
	if err := short.CleanUp(t.Context(), c); err != nil {
		t.Error(err)
	}

	// Where only the resolver can be asked, it is enough that it has the record.
	resolvers, _ := solver(t, s, Config{Providers: []string{"rfc2136"}, Check: Resolvers})
	solve(t, resolvers, s, "b.example.com", "_acme-challenge.b.example.com")
	none, _ := solver(t, s, Config{Providers: []string{"rfc2136"}, Check: None, Delay: time.Millisecond})
	solve(t, none, s, "c.example.com", "_acme-challenge.c.example.com")
}

// A server that is down is not waited for, but one must answer.
func TestSilentServers(t *testing.T) {
	s := dnstest.Start(t, map[string]string{
		"example.com": "@ NS ns9\nns9 A 127.0.0.1", // nothing listens there
		"example.net": "sub NS ns.sub\nns.sub A 127.0.0.1",
	})
	setenv(t, s.Env())
	solver, _ := solver(t, s, Config{Providers: []string{"rfc2136"}, Timeout: 2 * time.Second})
	solve(t, solver, s, "a.example.com", "_acme-challenge.a.example.com")
}

// Challenges for a name and for the wildcard above it have the same record.
func TestChallengesForOneRecord(t *testing.T) {
	s := dnstest.Start(t, map[string]string{"example.com": ""})
	setenv(t, s.Env())
	solver, _ := solver(t, s, Config{Providers: []string{"rfc2136"}})
	var g sync.WaitGroup
	for i := range 4 {
		g.Go(func() {
			c := challengeFor("example.com", fmt.Sprint("token", i))
			if err := errors.Join(solver.Present(t.Context(), c), solver.Wait(t.Context(), c)); err != nil {
				t.Error(err)
			}
			if got := s.TXT("_acme-challenge.example.com"); !slices.Contains(got, c.DNS01KeyAuthorization()) {
				t.Errorf("%d: the record has %q when the CA may look", i, got)
			}
			if err := solver.CleanUp(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if left := s.TXT("_acme-challenge.example.com"); len(left) > 0 || len(solver.open) > 0 {
		t.Errorf("left behind: %q, %d challenges", left, len(solver.open))
	}
}

func TestWaitingEnds(t *testing.T) {
	s := dnstest.Start(t, map[string]string{"example.com": ""})
	setenv(t, s.Env())
	solver, _ := solver(t, s, Config{Providers: []string{"rfc2136"}})
	first := challengeFor("example.com", "first")
	if err := solver.Present(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := solver.Present(ctx, challengeFor("example.com", "second")); err == nil || !strings.Contains(err.Error(), "another challenge") {
		t.Errorf("got %v", err)
	}
	// The record goes even if what it was for has been cancelled.
	if err := solver.CleanUp(ctx, first); err != nil {
		t.Error(err)
	}
	if left := s.TXT("_acme-challenge.example.com"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
