package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"portway/route"
)

func TestListen(t *testing.T) {
	t.Parallel()
	l, err := Listen([]string{"127.0.0.1:0", "[::1]:0"}, []string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := l.HTTP(), l.HTTPS(); len(a) != 2 || len(b) != 1 || a[0].Port() == 0 || !a[1].Addr().Is6() {
		t.Errorf("HTTP at %v, HTTPS at %v", a, b)
	}
	l.Close()
	l.Close()
}

// A port in use is reported with who has it and what to change, and what was
// opened before is closed again.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	free := deadAddress(t)
	_, err = Listen([]string{free}, []string{taken.Addr().String()})
	if err == nil {
		t.Fatal("no error")
	}
	comm, _ := os.ReadFile("/proc/self/comm")
	for _, want := range []string{taken.Addr().String(), "address already in use", strings.TrimSpace(string(comm)), fmt.Sprint(os.Getpid()), "--https"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not tell %q", err, want)
		}
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Error("the cause is not wrapped")
	}
	again, err := net.Listen("tcp", free)
	if err != nil {
		t.Fatalf("the other address was left open: %v", err)
	}
	_ = again.Close()
}

func TestListenErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address string
		err     error
		want    []string
	}{
		{":80", syscall.EACCES, []string{"cannot listen on :80", "permission denied", "NET_BIND_SERVICE", "ip_unprivileged_port_start=80", "--http"}},
		{"192.0.2.1:80", syscall.EADDRNOTAVAIL, []string{"no such address", "--http"}},
		{":1", syscall.EADDRINUSE, []string{"another process", "sport = :1", "--http"}},
		{"what", errors.New("missing port in address"), []string{"cannot listen on what", "missing port", "correct --http"}},
		{":noport", syscall.EADDRINUSE, []string{"--http"}},
	} {
		err := explainListen("http", c.address, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", c.err)})
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not tell %q", err, want)
			}
		}
	}
	if _, err := Listen([]string{"nonsense"}, nil); err == nil {
		t.Error("no error for nonsense")
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{HTTPS: []string{"127.0.0.1:0"}}); err == nil {
		t.Error("HTTPS without certificates is accepted")
	}
	if _, err := New(Config{HTTP: []string{"nonsense"}}); err == nil {
		t.Error("nonsense is accepted")
	}
}

func TestGivenListeners(t *testing.T) {
	t.Parallel()
	l, err := Listen([]string{"127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))}, withConfig(func(cfg *Config) {
		cfg.HTTP, cfg.HTTPS, cfg.Listeners = nil, nil, l
	}))
	if i.http != l.HTTP()[0].String() {
		t.Errorf("serves at %s, not at %s", i.http, l.HTTP()[0])
	}
	if resp, _ := get(t, i.client(t), "http://a.test/"); resp.StatusCode != http.StatusOK {
		t.Errorf("got %d", resp.StatusCode)
	}
}

// failingListener fails n times before it works, as one does when the process
// has too many files open.
type failingListener struct {
	net.Listener
	left atomic.Int32
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAcceptGoesOnAfterErrors(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))}, withServer(func(s *Server) {
		f := &failingListener{Listener: s.listeners.plain[0]}
		f.left.Store(4)
		s.listeners.plain[0] = f
	}))
	i.http = i.listeners.plain[0].Addr().String()
	if resp, _ := get(t, i.client(t), "http://a.test/"); resp.StatusCode != http.StatusOK {
		t.Errorf("got %d", resp.StatusCode)
	}
	log := i.log.String()
	if n := strings.Count(log, "cannot accept connections"); n != 1 || !strings.Contains(log, "too many open files") {
		t.Errorf("%d log lines: %s", n, log)
	}
}

// A listener that dies ends Run with an error, rather than leave a process that
// serves nobody.
func TestDeadListenerEndsRun(t *testing.T) {
	t.Parallel()
	s, err := New(Config{HTTP: []string{"127.0.0.1:0"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	address := s.listeners.plain[0].Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	_ = s.listeners.plain[0].Close()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Run goes on")
	}
}
