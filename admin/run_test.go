package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"portway/label"
	"portway/route"
)

const patience = time.Minute

// until asks again and again, since what is awaited happens beside.
func until[T any](t *testing.T, what string, get func() (T, bool)) T {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		v, ok := get()
		if ok {
			return v
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %+v", what, v)
		}
	}
}

func running(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// at gives a route to one address, and the container that it comes from.
func at(address string, exposed ...int) (*route.Route, *route.Source) {
	r := &route.Route{
		ID: "container:web/default", Name: "web", Source: `container "web"`, Hosts: []string{"web.test"}, Path: "/", HTTPS: route.Off,
		Upstreams: []route.Upstream{{ID: "1", Name: "web", Network: "tcp", Address: address, Scheme: route.HTTP}},
	}
	return r, &route.Source{
		ID: "container:1", Kind: route.Container, Name: "web", Source: r.Source, Service: "web", Exposed: exposed,
		Parts: []route.Part{{RouteID: r.ID, Upstream: "1", Choice: route.Choice{Address: address, Network: "front"}}},
	}
}

// silent is a port of loopback at which nothing listens before listen is called.
func silent(t *testing.T) (address string, listen func()) {
	t.Helper()
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
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port), func() {
		if err := syscall.Listen(fd, 10); err != nil {
			t.Fatal(err)
		}
	}
}

func portOf(address string) int {
	_, text, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(text)
	return n
}

// A port at which nothing listens is told with what listens instead; when the
// application has started, that is noticed.
func TestProbe(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	address, listen := silent(t)
	instead := portOf(other.Listener.Addr().String())
	r, source := at(address, instead)
	kept := NewLog()
	s := New(Config{Logger: newLogger(kept)})
	s.SetTable(route.NewTable([]*route.Route{r}, nil, source))
	running(t, s)
	probe := func() *Probe { return s.Status().Routes[0].Upstreams[0].Probe }
	got := until(t, "first look", func() (*Probe, bool) { p := probe(); return p, p != nil })
	if got.Answers || got.Error != "nothing listens at "+address || !slices.Contains(got.Instead, instead) || got.Hint != fmt.Sprintf("set portway.port: %d, where something listens", got.Instead[0]) {
		t.Errorf("%+v", got)
	}
	e, err := s.Explain(Question{URL: "http://web.test"})
	if err != nil || e.Served || !strings.HasPrefix(e.Verdict, "502: ") || !strings.Contains(strings.Join(e.Fixes, "\n"), "set portway.port") {
		t.Errorf("%+v %v", e, err)
	}
	line := until(t, "the log", func() (Line, bool) {
		all := kept.Lines(LineFilter{Text: "cannot be spoken to"})
		return append(all, Line{})[0], len(all) > 0
	})
	if line.Attrs["why"] != got.Error || line.Attrs["fix"] != got.Hint {
		t.Errorf("%+v", line)
	}
	listen()
	until(t, "after the start", func() (*Probe, bool) { p := probe(); return p, p.Answers })
	if e, _ := s.Explain(Question{URL: "http://web.test"}); !e.Served {
		t.Errorf("%+v", e)
	}
}

// Where TLS is spoken and plain HTTP is to be, a failed request is reason enough to
// find out.
func TestProbeFindsTLS(t *testing.T) {
	t.Parallel()
	origin := httptest.NewUnstartedServer(http.NotFoundHandler())
	origin.Config.ErrorLog = log.New(io.Discard, "", 0)
	origin.StartTLS()
	defer origin.Close()
	r, source := at(origin.Listener.Addr().String())
	s := New(Config{})
	view := newView(route.NewTable([]*route.Route{r}, nil, source))
	s.view.Store(view)
	target := s.targets()[0]
	if got := s.prober.probe(t.Context(), target, false); !got.Answers || got.Hint != "" {
		t.Errorf("without a reason: %+v", got)
	}
	if got := s.prober.probe(t.Context(), target, true); got.Answers || got.Hint != "set portway.scheme: https" {
		t.Errorf("with a reason: %+v", got)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	target.address, target.scheme = plain.Listener.Addr().String(), route.HTTPS
	if got := s.prober.probe(t.Context(), target, false); !strings.Contains(got.Hint, "set portway.scheme: http") {
		t.Errorf("plain, and TLS is wanted: %+v", got)
	}
}

// What changed between tables is told once, with before and after, and comes as an
// event to those who listen.
func TestHistory(t *testing.T) {
	t.Parallel()
	r, source := at("127.0.0.1:1")
	s := New(Config{})
	s.SetTable(route.NewTable([]*route.Route{r}, nil, source))
	running(t, s)
	until(t, "the first table", func() (int, bool) { n := len(s.History()); return n, n > 0 })
	server := httptest.NewServer(s)
	defer server.Close()
	resp, err := http.Get(server.URL + "/v1/events?since=0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()

	changed := *r
	changed.Hosts = []string{"web.test", "www.web.test"}
	typo := label.Problem{Source: r.Source, Key: "portway.hots", Why: "unknown label", Fix: "did you mean portway.host?"}
	s.SetTable(route.NewTable([]*route.Route{&changed}, []label.Problem{typo}, source))
	s.Failed(Failure{RouteID: r.ID, Status: 502, RequestID: "abc"})
	var stream []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		stream = append(stream, lines.Text())
		all := strings.Join(stream, "\n")
		if strings.Contains(all, "did you mean") && strings.Contains(all, "www.web.test") && strings.Contains(all, "event: failure") && lines.Text() == "" {
			break
		}
	}
	want := []string{
		"problem container \"web\": portway.hots: unknown label; did you mean portway.host?",
		"route changed web: hosts was web.test, is now web.test, www.web.test",
	}
	var got []string
	for _, e := range s.History() {
		got = append(got, e.Kind+" "+e.Text)
	}
	for _, w := range want {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, w) }) { // there may be news of the port, too
			t.Errorf("no %q in %q", w, got)
		}
	}
	s.SetTable(route.NewTable(nil, nil))
	until(t, "the end", func() ([]Event, bool) {
		all := s.History()
		return all, slices.ContainsFunc(all, func(e Event) bool { return e.Kind == RouteRemoved && e.Text == "web is gone" }) &&
			slices.ContainsFunc(all, func(e Event) bool { return e.Kind == ProblemSolved })
	})
	if n := len(s.Failures(r.ID)); n != 0 {
		t.Errorf("%d failures of a route that is gone", n)
	}
}

// Failures are bounded, for each route and for requests without one.
func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	for i := range 1000 {
		s.Failed(Failure{RouteID: "a", RequestID: strconv.Itoa(i)})
		s.Failed(Failure{RequestID: strconv.Itoa(i)})
	}
	if all := s.Failures("a"); len(all) != failuresPerRoute || all[0].RequestID != "999" {
		t.Errorf("%d, the newest is %+v", len(all), all[0])
	}
	if all := s.Failures(""); len(all) != failuresNowhere {
		t.Errorf("%d", len(all))
	}
}

// Who does not read what is streamed holds nobody up.
func TestSlowListenersMissSome(t *testing.T) {
	t.Parallel()
	f := newFeed[uint64](3)
	_, next, stop := f.listen()
	for range behind + 100 {
		f.add(func(seq uint64) uint64 { return seq })
	}
	stop()
	if got := f.all(); !slices.Equal(got, []uint64{behind + 98, behind + 99, behind + 100}) {
		t.Errorf("%d", got)
	}
	if n := len(next); n != behind {
		t.Errorf("%d wait", n)
	}
}
