package health

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"portway/label"
)

func parse(values label.Values) (o Options, problems string) {
	var b strings.Builder
	for _, p := range label.Parse(`container "app"`, func(option string) string { return label.Key("", option) }, values, &o) {
		b.WriteString(p.String() + "\n")
	}
	return o, strings.TrimSuffix(b.String(), "\n")
}

// options are those of values, which must be right.
func options(t testing.TB, values label.Values) Options {
	t.Helper()
	o, problems := parse(values)
	if problems != "" {
		t.Fatal(problems)
	}
	return o
}

func TestOptions(t *testing.T) {
	t.Parallel()
	if o := options(t, nil); o.Enabled() {
		t.Errorf("without labels, checks are on: %+v", o)
	}
	if options(t, label.Values{"health.path": "/"}) != options(t, label.Values{"health": "http"}) {
		t.Error("health.path alone is not health: http")
	}
}

// The golden cases: labels, and the checks that they ask for.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil || len(a.Files) != 2 {
			t.Fatal(file, err)
		}
		labels := map[string]string{}
		if err := yaml.Unmarshal(a.Files[0].Data, &labels); err != nil {
			t.Fatal(err)
		}
		values := label.Values{}
		for key, value := range labels {
			values[strings.TrimPrefix(key, label.Prefix)] = value
		}
		o, got := parse(values)
		if got == "" {
			got = fmt.Sprintf("%s %s status %v host %q port %d service %q every %v within %v up %d down %d",
				o.kind, o.path, o.status, o.host, o.port, o.service, o.interval, o.timeout, o.up, o.down)
		}
		if want := strings.TrimSpace(string(a.Files[1].Data)); got != want {
			t.Errorf("%s\n got: %s\nwant: %s", file, got, want)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why    string
		values label.Values
		want   string
	}{
		{"what kind?", label.Values{"health": "udp"}, `portway.health: "udp" is not known here; write one of http, tcp, grpc`},
		{"details without checks", label.Values{"health.interval": "1s"}, `portway.health.interval: does nothing without portway.health or portway.health.path; add portway.health, or remove this one`},
		{"path of another kind", label.Values{"health": "tcp", "health.path": "/x"}, `portway.health.path: is not for checks by tcp; remove it, or set health: http`},
		{"status of another kind", label.Values{"health": "grpc", "health.status": "200"}, `portway.health.status: is not for checks by grpc; remove it, or set health: http`},
		{"host for TCP", label.Values{"health": "tcp", "health.host": "x"}, `portway.health.host: is not for checks by tcp; remove it, or set health: http`},
		{"service of HTTP", label.Values{"health.path": "/", "health.service": "x"}, `portway.health.service: is not for checks by http; remove it, or set health: grpc`},
		{"relative path", label.Values{"health.path": "healthz"}, `portway.health.path: "healthz" does not begin with /; write a path like /healthz`},
		{"space in the path", label.Values{"health.path": "/a b"}, `portway.health.path: "/a b" is no path as browsers send it; write spaces, # and other scripts with percent-encoding, for example %20`},
		{"second header line", label.Values{"health.path": "/", "health.host": "a\r\nX: y"}, `portway.health.host: "a\r\nX: y" is no host name; write a name alone, perhaps with a port: app.internal or app.internal:8080`},
		{"no code", label.Values{"health.path": "/", "health.status": "ok"}, `portway.health.status: "ok" is no range of status codes; write codes from 200 to 599, for example 200-299, 401`},
		{"the wrong way round", label.Values{"health.path": "/", "health.status": "299-200"}, `portway.health.status: "299-200" is no range of status codes; write codes from 200 to 599, for example 200-299, 401`},
		{"interim codes are no answers", label.Values{"health.path": "/", "health.status": "100-200"}, `portway.health.status: "100-200" is no range of status codes; write codes from 200 to 599, for example 200-299, 401`},
		{"busy loop", label.Values{"health.path": "/", "health.interval": "0"}, `portway.health.interval: is too short; write at least 100ms`},
		{"no time", label.Values{"health.path": "/", "health.timeout": "1ms"}, `portway.health.timeout: is too short; write at least 100ms`},
		{"never down", label.Values{"health.path": "/", "health.down": "0"}, `portway.health.down: "0" is out of range; write a whole number from 1 to 100`},
	} {
		if _, got := parse(c.values); got != `container "app": `+c.want {
			t.Errorf("%s\n got: %s\nwant: %s", c.why, got, `container "app": `+c.want)
		}
	}
}

// What is read as a set of codes is written so that it is read as the same.
func FuzzStatus(f *testing.F) {
	for _, s := range []string{"200", "200-299", "200-204,401 , 599", "200-", "-200", "-1-5", "2e2", "200-99999999999999999999", "", ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var o, again Options
		if o.setStatus(s) != nil {
			return
		}
		if err := again.setStatus(o.status.String()); err != nil || o != again {
			t.Errorf("%q is %v, and that is %v: %v", s, o.status, again.status, err)
		}
		for _, code := range []int{0, 100, 199, 600, 639} {
			if o.status.has(code) {
				t.Errorf("%q has %d", s, code)
			}
		}
	})
}
