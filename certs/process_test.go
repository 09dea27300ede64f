package certs

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portway/certs/budget"
	"portway/internal/pebbletest"
)

// orders tell a process of TestManagerProcess what to do.
type orders struct {
	Storage, Directory, Roots string
	HTTPPort, TLSPort         int
	Names                     []string
	Limits                    budget.Limits
	Patient                   bool // the back-off of the product, else one of milliseconds
}

const ordersEnv = "PORTWAY_TEST_ORDERS"

// TestManagerProcess is not a test, but a process that keeps certificates as
// Portway does, for tests that kill it. Its listeners belong to the test, so
// that a port stays what it is while there is no process.
func TestManagerProcess(t *testing.T) {
	text := os.Getenv(ordersEnv)
	if text == "" {
		return
	}
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	speed := defaultTiming()
	if !o.Patient {
		speed.backoff = backoff{base: 100 * time.Millisecond, limit: 200 * time.Millisecond}
		speed.check = 100 * time.Millisecond
	}
	m, err := newManager(Config{
		Storage: o.Storage, Directory: o.Directory, Roots: o.Roots, HTTPPort: o.HTTPPort, TLSPort: o.TLSPort,
		Limits: o.Limits, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, speed, nil)
	if err != nil {
		t.Fatal(err)
	}
	inherit := func(fd uintptr) net.Listener {
		l, err := net.FileListener(os.NewFile(fd, "listener"))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	open := &http.Server{Handler: m.HTTPChallenge(http.NotFoundHandler()), ErrorLog: quiet}
	go func() { _ = open.Serve(inherit(3)) }()
	secure := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: quiet}
	go func() {
		_ = secure.Serve(tls.NewListener(inherit(4), &tls.Config{
			NextProtos: []string{"http/1.1", "acme-tls/1"}, GetCertificate: m.GetCertificate,
		}))
	}()
	go tellStatus(m)
	m.SetNames(plain(o.Names...))
	go func() { // other names, when the test says so
		for d := json.NewDecoder(os.Stdin); ; {
			var names []string
			if d.Decode(&names) != nil {
				return
			}
			m.SetNames(plain(names...))
		}
	}()
	_ = m.Run(context.Background()) // until it is killed
}

// news is a line that a process writes: the status of a name that changed, and how
// many orders were under way at most so far.
type news struct {
	Status
	Orders int
}

// tellStatus writes news.
func tellStatus(m *Manager) {
	known := make(map[string]Status)
	most := 0
	out := json.NewEncoder(os.Stdout)
	fmt.Println("ready")
	for ; ; time.Sleep(5 * time.Millisecond) {
		most = max(most, len(m.fresh)+len(m.again))
		for _, s := range m.All() {
			if old := known[s.Name]; old.State != s.State || old.LastError != s.LastError {
				known[s.Name] = s
				_ = out.Encode(news{s, most}) // its reader may be gone: then so are we, soon
			}
		}
	}
}

// site is where the challenges of one process after another arrive.
type site struct {
	t                 *testing.T
	ip                string
	http, tls         *os.File
	httpPort, tlsPort int
}

func newSite(t *testing.T, ip string, httpPort, tlsPort int) (*site, error) {
	s := &site{t: t, ip: ip}
	open := func(port int) (*os.File, int, error) {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, port))
		if err != nil {
			return nil, 0, err
		}
		defer func() { _ = l.Close() }() // the file goes on listening
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return nil, 0, err
		}
		t.Cleanup(func() { _ = f.Close() })
		return f, l.Addr().(*net.TCPAddr).Port, nil
	}
	var err error
	if s.http, s.httpPort, err = open(httpPort); err != nil {
		return nil, err
	}
	s.tls, s.tlsPort, err = open(tlsPort)
	return s, err
}

// newSites opens n sites at addresses of their own and the same ports.
func newSites(t *testing.T, n int) []*site {
	t.Helper()
next:
	for range 50 {
		first, err := newSite(t, "127.0.0.10", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		sites := []*site{first}
		for i := 1; i < n; i++ {
			s, err := newSite(t, fmt.Sprintf("127.0.0.%d", 10+i), first.httpPort, first.tlsPort)
			if err != nil {
				continue next
			}
			sites = append(sites, s)
		}
		return sites
	}
	t.Fatal("no ports are free at all addresses")
	return nil
}

// helper is a running process of TestManagerProcess.
type helper struct {
	cmd   *exec.Cmd
	ready chan struct{}
	ended chan struct{}

	names io.WriteCloser // takes lists of names in JSON

	mu     sync.Mutex
	status map[string]Status
	orders int // under way at most
}

// start runs a process at s, which the test ends if nobody else does.
func (s *site) start(p *pebbletest.Pebble, o orders) (*helper, error) {
	o.Directory, o.Roots, o.HTTPPort, o.TLSPort = p.Directory, p.RootsFile, s.httpPort, s.tlsPort
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	h := &helper{ready: make(chan struct{}), ended: make(chan struct{}), status: make(map[string]Status)}
	h.cmd = exec.Command(os.Args[0], "-test.run=^TestManagerProcess$", "-test.timeout=0")
	h.cmd.Env = append(os.Environ(), ordersEnv+"="+string(text))
	h.cmd.ExtraFiles = []*os.File{s.http, s.tls}
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	h.names, err = h.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := h.cmd.StdoutPipe()
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	go h.read(bufio.NewScanner(out))
	s.t.Cleanup(h.kill)
	select {
	case <-h.ready:
		return h, nil
	case <-h.ended:
		return nil, fmt.Errorf("the process ended at once: %v", h.cmd.ProcessState)
	}
}

// await returns when all of names are in state.
func (h *helper) await(state State, names ...string) error {
	return h.eventually(string(state), func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return h.last(name).State != state })
	})
}

// eventually returns when ok does.
func (h *helper) eventually(what string, ok func() bool) error {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) { // nothing tells another process
		switch {
		case ok():
			return nil
		case time.Now().After(deadline):
			h.mu.Lock()
			defer h.mu.Unlock()
			return fmt.Errorf("waited in vain for %s: %+v", what, h.status)
		}
		select {
		case <-h.ended:
			return fmt.Errorf("the process ended: %v", h.cmd.ProcessState)
		default:
		}
	}
}

func (h *helper) read(lines *bufio.Scanner) {
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "ready") {
			close(h.ready)
			continue
		}
		var n news
		if json.Unmarshal(lines.Bytes(), &n) == nil {
			h.mu.Lock()
			h.status[n.Name], h.orders = n.Status, n.Orders
			h.mu.Unlock()
		}
	}
	_ = h.cmd.Wait() // it is killed
	close(h.ended)
}

// kill is kill -9.
func (h *helper) kill() {
	_ = h.cmd.Process.Kill() // it may have ended
	<-h.ended
}

// valid counts names in state Valid.
func (h *helper) valid() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.status {
		if s.State == Valid {
			n++
		}
	}
	return n
}

func (h *helper) last(name string) Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status[name]
}
