package mistakes

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"portway/admin"
	"portway/admin/show"
	"portway/certs/preflight"
	"portway/discovery"
	"portway/proxy"
	"portway/route"
)

var update = flag.Bool("update", false, "write what is said anew")

const patience = 2 * time.Minute

// TestCases makes each mistake, with the real discovery, proxy, certs and admin, and compares
// what is said about it. A case has
//
//	a comment: the mistake
//	compose.yaml: how people make it, for lint
//	containers: what the engine knows, as a list of spec
//	routes.yaml: static files, if any
//	acme: what is wrong with certificates, see newACME; without, none is asked for
//	engine: an error of the engine, or the word old, if that is the mistake
//	request: a URL that is asked for by a visitor, before anybody asks why
//	ask: what portway explain is asked
//	fix: lines of which at least one is in each of the answers: the mistake is named, with
//	   what to do; each of them must be in some answer
//	cannot: which ways of asking cannot know of it, and why not
//
// and then what each of the ways says. In all of them $OPEN is a port at which a plain web
// server listens, $TLS one that speaks TLS, $CLOSED one at which nobody listens, $LOOP one
// of an application that redirects to HTTPS whatever it is told, and $CA80 the one at which
// the CA looks for names.
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) != 20 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	who := signIn(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := newCase(t, a)
			got := map[string]string{
				"explain": c.explain(t), "log": c.log(t), "lint": c.lint(t), "doctor": c.doctor(t), "dashboard": c.dashboard(t, who),
			}
			c.judge(t, got)
			for _, way := range ways {
				i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == way })
				switch {
				case i < 0:
					t.Errorf("the case has no section %s", way)
				case *update:
					a.Files[i].Data = []byte(got[way])
				case string(a.Files[i].Data) != got[way]:
					t.Errorf("%s: got:\n%swant:\n%s", way, got[way], a.Files[i].Data)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// judge looks whether all ways name the mistake, but those that cannot know it, which say so
// in got.
func (c *instance) judge(t *testing.T, got map[string]string) {
	t.Helper()
	lines := func(section string) []string {
		return strings.Split(strings.TrimSpace(c.ports.Replace(c.files[section])), "\n")
	}
	cannot := make(map[string]string)
	for _, line := range lines("cannot") {
		if way, why, ok := strings.Cut(line, ": "); ok && slices.Contains(ways, way) {
			cannot[way] = why
		} else if line != "" {
			t.Errorf("cannot: %q is not of the form WAY: WHY", line)
		}
	}
	fixes := lines("fix")
	said := make(map[string]bool)
	for _, way := range ways {
		named := false
		for _, fix := range fixes {
			if fix != "" && strings.Contains(got[way], fix) {
				said[fix], named = true, true
			}
		}
		why := cannot[way]
		switch {
		case named == (why == ""):
		case named:
			t.Errorf("%s is said not to know of it, and does:\n%s", way, got[way])
		default:
			t.Errorf("%s does not name it:\n%s", way, got[way])
		}
		if why != "" {
			got[way] = "cannot know: " + why + "\n" + got[way]
		}
	}
	for _, fix := range fixes {
		if !said[fix] {
			t.Errorf("nothing says %q", fix)
		}
	}
}

// instance is a Portway with a mistake.
type instance struct {
	files map[string]string
	ports *strings.Replacer // from numbers back to names
	admin *admin.Server
	lines *admin.Log
	http  string

	engine discovery.Engine
	acme   *acme // nil: no certificate is asked for
}

func newCase(t *testing.T, a *txtar.Archive) *instance {
	t.Helper()
	c := &instance{files: make(map[string]string), lines: admin.NewLog()}
	names := map[string]string{"$OPEN": plain(t), "$TLS": secure(t), "$CLOSED": silent(t), "$LOOP": looping(t)}
	var forth, back []string
	for name, number := range names {
		forth, back = append(forth, name, number), append(back, number, name)
	}
	there := strings.NewReplacer(forth...)
	for _, f := range a.Files {
		c.files[f.Name] = there.Replace(string(f.Data))
	}
	logger := slog.New(c.lines.Handler(slog.NewTextHandler(io.Discard, nil)))
	e, self := newEngine(t, c.files["containers"])
	c.engine = e
	folder := filepath.Join(t.TempDir(), "routes")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	e.socket = filepath.Join(folder, "docker.sock")
	switch text := strings.TrimSpace(c.files["engine"]); text {
	case "":
	case "old":
		oldEngine(t, e, e.socket)
		dialled, err := discovery.Dial(discovery.Endpoint{Host: "unix://" + e.socket})
		if err != nil {
			t.Fatal(err)
		}
		c.engine = dialled
	default:
		e.fail = errors.New(text)
		if err := os.WriteFile(e.socket, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	back = append(back, folder, "/var/run", fmt.Sprintf("group_add: [\"%d\"]", os.Getegid()), `group_add: ["$GID"]`, fmt.Sprintf(`group_add: [\"%d\"]`, os.Getegid()), `group_add: [\"$GID\"]`)
	if text := c.files["routes.yaml"]; text != "" {
		if err := os.WriteFile(filepath.Join(folder, "routes.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listeners, err := proxy.Listen([]string{"127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if mistake := strings.TrimSpace(c.files["acme"]); mistake != "" {
		var more map[string]string
		c.acme, more = newACME(t, mistake, int(listeners.HTTP()[0].Port()), logger)
		for name, number := range more {
			back = append(back, number, name)
		}
	}
	c.ports = strings.NewReplacer(back...)
	serving := proxy.Config{Listeners: listeners, Logger: logger, Drain: time.Second, Failed: func(f proxy.Failure) { c.admin.Failed(admin.Failure(f)) }}
	if c.acme != nil {
		serving.Plain = map[string]http.Handler{preflight.Path: c.acme.checker.Handler()}
	}
	server, err := proxy.New(serving)
	if err != nil {
		t.Fatal(err)
	}
	c.admin = admin.New(admin.Config{
		Logger: logger, Log: c.lines, Certificates: c.certificates,
		Replicas: func(r *route.Route) (all []admin.Replica) {
			for _, x := range server.Replicas(r) {
				x.LeftOut = "" // which lasts for a moment only
				all = append(all, admin.Replica(x))
			}
			return all
		},
	})
	c.http = listeners.HTTP()[0].String()
	problems := &admin.ProblemLog{Logger: logger}
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan struct{}, 1)
	done := make(chan struct{}, 4)
	run := func(f func(context.Context) error) {
		go func() {
			if err := f(ctx); err != nil {
				t.Error(err)
			}
			done <- struct{}{}
		}()
	}
	run(server.Run)
	run(c.admin.Run)
	if c.acme != nil {
		run(c.acme.manager.Run)
	} else {
		done <- struct{}{}
	}
	run(func(ctx context.Context) error {
		cfg := discovery.Config{Engine: c.engine, Static: folder, Logger: logger, Middleware: proxy.Binders, Self: self}
		return discovery.Watch(ctx, cfg, func(t *route.Table) {
			server.SetTable(t)
			c.admin.SetTable(t)
			problems.Update(t.Problems())
			if c.acme != nil {
				c.acme.setTable(t)
			}
			select {
			case first <- struct{}{}:
			default:
			}
		})
	})
	t.Cleanup(func() {
		cancel()
		for range cap(done) {
			<-done
		}
	})
	<-first
	if c.acme != nil {
		c.acme.tried(t)
	}
	c.settle(t)
	return c
}

// settle waits until the ports of all replicas have been looked at, and sends the
// visitor's request; where that fails, they are looked at again.
func (c *instance) settle(t *testing.T) {
	t.Helper()
	since := time.Time{}
	wait := func() {
		old := func(u admin.Upstream) bool {
			return u.Address != "" && u.State != "stopped" && (u.Probe == nil || u.Probe.Time.Before(since))
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if !slices.ContainsFunc(c.admin.Routes(), func(r admin.RouteDetail) bool { return slices.ContainsFunc(r.Upstreams, old) }) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("the ports are not looked at")
			}
		}
	}
	wait()
	target := strings.TrimSpace(c.files["request"])
	if target == "" {
		return
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.http+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = target
	since = time.Now()
	resp, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		wait()
	}
}

// explain is what portway explain prints.
func (c *instance) explain(t *testing.T) string {
	t.Helper()
	e, err := c.admin.Explain(admin.Question{What: strings.TrimSpace(c.files["ask"])})
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.Failures { // which differ from run to run
		e.Failures[i].Time, e.Failures[i].RequestID = time.Time{}, "0123456789abcdef"
	}
	var b strings.Builder
	p := show.Printer{Out: &b}
	p.Explanation(e)
	if r := e.Request; r != nil && r.Route != nil && c.files["live"] != "" {
		hops, err := c.admin.Try(t.Context(), r.Route.ID, http.MethodGet, r.Host, "/")
		if err != nil {
			t.Fatal(err)
		}
		for i := range hops {
			hops[i].ConnectMS, hops[i].TLSMS, hops[i].FirstByteMS = 0, 0, 0
		}
		p.Live(&show.Live{URL: r.URL, Hops: hops})
	}
	return c.steady(b.String())
}

// token is what differs from challenge to challenge.
var token = regexp.MustCompile(`acme-challenge/[A-Za-z0-9_-]+`)

// steady puts the names of ports in, and takes times out.
func (c *instance) steady(text string) string {
	text = strings.ReplaceAll(text, time.Time{}.Local().Format("2006-01-02 15:04:05"), "0001-01-01 00:00:00")
	text = token.ReplaceAllString(text, "acme-challenge/TOKEN")
	return c.ports.Replace(text)
}

// log is what Portway's own log says, of what is a warning or worse. That a replica
// cannot be spoken to comes later, and not in each run.
func (c *instance) log(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, x := range c.lines.Lines(admin.LineFilter{Level: slog.LevelWarn}) {
		if x.Message == "a replica cannot be spoken to" {
			continue
		}
		delete(x.Attrs, "request_id")
		delete(x.Attrs, "client")
		delete(x.Attrs, "next_try")
		var b strings.Builder
		p := show.Printer{Out: &b}
		x.Time = time.Time{}
		p.Line(x)
		_, line, _ := strings.Cut(b.String(), " ")
		lines = append(lines, line)
	}
	return c.steady(strings.Join(lines, ""))
}
