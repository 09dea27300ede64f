package mistakes

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"portway/admin"
	"portway/admin/show"
	"portway/discovery"
	"portway/proxy"
	"portway/route"
)

var update = flag.Bool("update", false, "write what is said anew")

const patience = 20 * time.Second

// TestCases makes each mistake, with the real discovery, proxy and admin, and compares
// what is said about it. A case has
//
//	a comment: the mistake
//	containers: what the engine knows, as a list of spec
//	routes.yaml: static files, if any
//	certificates: what the certificates' owner says, as JSON, if it matters
//	engine: an error of the engine, if that is the mistake
//	request: a URL that is asked for by a visitor, before anybody asks why
//	ask: what portway explain is asked
//	fix: what must be in at least one of the answers: the mistake is named, with what to do
//
// and then what is said: explain, and log. In all of them $OPEN is a port at which a
// plain web server listens, $TLS one that speaks TLS, $CLOSED one at which nobody
// listens, and $LOOP one of an application that redirects to HTTPS whatever it is told.
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := newCase(t, a)
			got := map[string]string{"explain": c.explain(t), "log": c.log(t)}
			for _, fix := range strings.Split(strings.TrimSpace(c.ports.Replace(c.files["fix"])), "\n") {
				if fix == "" || !strings.Contains(got["explain"]+got["log"], fix) {
					t.Errorf("nothing says %q:\n%s\n%s", fix, got["explain"], got["log"])
				}
			}
			for i := range a.Files {
				f := &a.Files[i]
				text, checked := got[f.Name]
				switch {
				case checked && *update:
					f.Data = []byte(text)
				case checked && string(f.Data) != text:
					t.Errorf("%s: got:\n%swant:\n%s", f.Name, text, f.Data)
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

// instance is a Portway with a mistake.
type instance struct {
	files map[string]string
	ports *strings.Replacer // from numbers back to names
	admin *admin.Server
	lines *admin.Log
	http  string
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
	if text := strings.TrimSpace(c.files["engine"]); text != "" {
		e.fail = errors.New(text)
	}
	var certificates []admin.Certificate
	if text := c.files["certificates"]; text != "" {
		if err := json.Unmarshal([]byte(text), &certificates); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(t.TempDir(), "routes")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	e.socket = filepath.Join(folder, "docker.sock")
	if err := os.WriteFile(e.socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	back = append(back, folder, "/var/run", fmt.Sprintf("group_add: [\"%d\"]", os.Getegid()), `group_add: ["$GID"]`, fmt.Sprintf(`group_add: [\"%d\"]`, os.Getegid()), `group_add: [\"$GID\"]`)
	c.ports = strings.NewReplacer(back...)
	if text := c.files["routes.yaml"]; text != "" {
		if err := os.WriteFile(filepath.Join(folder, "routes.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listeners, err := proxy.Listen([]string{"127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := proxy.New(proxy.Config{Listeners: listeners, Logger: logger, Drain: time.Second, Failed: func(f proxy.Failure) { c.admin.Failed(admin.Failure(f)) }})
	if err != nil {
		t.Fatal(err)
	}
	c.admin = admin.New(admin.Config{
		Logger: logger, Log: c.lines, Certificates: func() []admin.Certificate { return certificates },
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
	done := make(chan struct{}, 3)
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
	run(func(ctx context.Context) error {
		cfg := discovery.Config{Engine: e, Static: folder, Logger: logger, Middleware: proxy.Binders, Self: self}
		return discovery.Watch(ctx, cfg, func(t *route.Table) {
			server.SetTable(t)
			c.admin.SetTable(t)
			problems.Update(t.Problems())
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

// steady puts the names of ports in, and takes times out.
func (c *instance) steady(text string) string {
	text = strings.ReplaceAll(text, time.Time{}.Local().Format("2006-01-02 15:04:05"), "0001-01-01 00:00:00")
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
		var b strings.Builder
		p := show.Printer{Out: &b}
		x.Time = time.Time{}
		p.Line(x)
		_, line, _ := strings.Cut(b.String(), " ")
		lines = append(lines, line)
	}
	return c.steady(strings.Join(lines, ""))
}

func port(l net.Listener) string { return fmt.Sprint(l.Addr().(*net.TCPAddr).Port) }

func plain(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	t.Cleanup(s.Close)
	return port(s.Listener)
}

func secure(t *testing.T) string {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return port(s.Listener)
}

func looping(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
	}))
	t.Cleanup(s.Close)
	return port(s.Listener)
}

// silent holds a port without listening.
func silent(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(name.(*syscall.SockaddrInet4).Port)
}
