package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// command runs portway with arguments, and gives what it prints and its exit status.
func (p *process) command(args ...string) (string, int) {
	p.t.Helper()
	program, err := exec.LookPath("portway")
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := exec.Command(program, append([]string{"--control=" + p.control}, args...)...).CombinedOutput()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		p.t.Fatal(err)
	}
	if status != nil {
		return string(out), status.ExitCode()
	}
	return string(out), 0
}

// The exit status tells scripts: 0 served, 1 not, 2 that nobody can tell.
func TestExplainCommand(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/round" {
			http.Redirect(w, r, "http://"+r.Host+"/round", http.StatusMovedPermanently)
			return
		}
		_, _ = w.Write([]byte("hello"))
	}))
	defer origin.Close()
	p := runProcess(t, origin.URL)
	for _, c := range []struct {
		args   []string
		status int
		want   []string
	}{
		{[]string{"explain", "site.test"}, 0, []string{"SERVED", "site gets it, and 1 replica answers", "http://site.test/", "replicas     " + origin.URL + " at http"}},
		{[]string{"explain", "http://site.test/x?y=z", "-X", "post", "-H", "A: b", "--cookie", "c=d", "--client", "192.0.2.1"}, 0, []string{"POST http://site.test/x?y=z", "this one"}},
		{[]string{"explain", "site.yaml"}, 0, []string{"file ", "site.yaml is served at site.test"}},
		{[]string{"explain", "sitte.test"}, 1, []string{"NOT SERVED  404: no route has the host sitte.test", "did you mean site.test?"}},
		{[]string{"explain", "blog"}, 1, []string{`nothing is known about "blog"`}},
		{[]string{"explain", "ftp://site.test"}, 2, []string{"write http:// or https://"}},
		{[]string{"explain"}, 2, []string{"what"}},
		{[]string{"explain", "site.test", "--json"}, 0, []string{`"served": true`, `"found_by": "site.test"`}},
		{[]string{"explain", "site.test", "--live", "--connect", p.http}, 0, []string{"connect", "first byte", "200 by HTTP/1.1", "directly"}},
		{[]string{"explain", "site.test/round", "--live", "--connect", p.http}, 1, []string{"301", "round in circles"}},
		{[]string{"ps"}, 0, []string{"NAME", "SERVED", "site.yaml", "yes", "site.test"}},
		{[]string{"ps", "--json"}, 0, []string{`"kind": "file"`}},
		{[]string{"routes"}, 0, []string{"HOST AND PATH", "site.test", "1/1", "off"}},
		{[]string{"routes", "--json", "--host=other.test"}, 0, []string{"[]"}},
		{[]string{"logs"}, 0, []string{"starting", "routes are ready"}},
		{[]string{"logs", "--json", "-n1"}, 0, []string{`"seq":`}},
	} {
		out, status := p.command(c.args...)
		if status != c.status {
			t.Errorf("%q: exit status %d, want %d:\n%s", c.args, status, c.status, out)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q: no %q in:\n%s", c.args, want, out)
			}
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%q: colours, though this is no terminal", c.args)
		}
	}
	p.control = filepath.Join(t.TempDir(), "nobody")
	if out, status := p.command("explain", "site.test"); status != 2 || !strings.Contains(out, "no Portway answers") {
		t.Errorf("%d %s", status, out)
	}
}

// What is logged from now on comes at once, and only what was asked for.
func TestFollowLogs(t *testing.T) {
	t.Parallel()
	p := runProcess(t, "http://127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, _, err := p.get(ctx, "/first"); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	err := follow(ctx, p.control, "/v1/logs/stream?host=site.test&level=warn&text=request", func(data []byte) error {
		switch {
		case strings.Contains(string(data), "/first"):
			go func() { _, _, _ = p.get(ctx, "/second") }()
		case strings.Contains(string(data), "/second"):
			return enough
		default:
			t.Errorf("%s", data)
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Error(err)
	}
}
