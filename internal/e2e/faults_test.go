package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/admin"
	"portway/internal/wstest"
)

// TestFaults loads Portway as far as the machine goes while origins are killed,
// raised, slow, and answer garbage. It must not crash; each client gets the right
// answer or a clean error, never a wrong or cut one that looks complete; and
// afterwards everything that was taken is given back.
func TestFaults(t *testing.T) {
	length := 30 * time.Second
	if testing.Short() {
		length = 5 * time.Second
	}
	garbage := &misbehave{}
	mortals := []*mortal{newMortal(t), newMortal(t), newMortal(t)}
	routes := t.TempDir()
	writeFile(t, filepath.Join(routes, "sites.yaml"), fmt.Sprintf(
		"garbage:\n  host: garbage.localhost\n  to: [%q]\nmortal:\n  host: mortal.localhost\n  to: [%q, %q, %q]\nsocket:\n  host: socket.localhost\n  to: [%q]\n",
		garbage.serve(t), "http://"+mortals[0].address, "http://"+mortals[1].address, "http://"+mortals[2].address, socketOrigin(t)))
	p := start(t, "--routes="+routes, "--log-level=error")
	f := &faults{t: t, p: p, roots: internalRoot(t, p.http), deeds: garbage.deeds, outcomes: map[string]int{}}
	f.settle() // the pools' and the certificates' first memory
	before := f.level()

	stop := make(chan struct{})
	var working, chaos sync.WaitGroup
	for i := range 48 {
		working.Go(func() { f.client(stop, i%2 == 0) })
	}
	for i := range 8 {
		working.Go(func() { f.socket(stop, i%2 == 0) })
	}
	kills := 0
	chaos.Go(func() {
		for ; !closed(stop); kills++ {
			m := mortals[rand.N(len(mortals))]
			m.kill()
			m.slow.Store(rand.N(2) == 0)
			time.Sleep(rand.N(300 * time.Millisecond)) // it is dead for a while
			if err := m.raise(); err != nil {
				t.Error(err)
			}
			time.Sleep(rand.N(300 * time.Millisecond))
		}
	})
	var busiest admin.Runtime
	var rss int64
	begun := time.Now()
	for (time.Since(begun) < length || garbage.least() < 3 && time.Since(begun) < 4*length) && !closed(p.ended) {
		now := f.level()
		busiest.Goroutines, busiest.OpenFiles = max(busiest.Goroutines, now.Goroutines), max(busiest.OpenFiles, now.OpenFiles)
		rss = max(rss, residentMemory(t, p.cmd.Process.Pid))
		time.Sleep(200 * time.Millisecond)
	}
	took := time.Since(begun).Round(time.Second)
	close(stop)
	working.Wait()
	chaos.Wait()
	if closed(p.ended) {
		t.Fatal("Portway has crashed")
	}
	if log := p.log.String(); log != "" {
		t.Errorf("there are errors in the log: %.2000s", log)
	}
	if garbage.least() < 3 {
		t.Error("the origin hardly did some of its misdeeds")
	}
	f.settle()
	var after admin.Runtime
	eventually(t, 100*time.Second, func() error { // unused connections to origins live for a minute
		after = f.level()
		if after.Goroutines > before.Goroutines+3 || after.OpenFiles > before.OpenFiles+3 {
			return fmt.Errorf("not given back: before %+v, now %+v", before, after)
		}
		return nil
	})
	idle := residentMemory(t, p.cmd.Process.Pid)
	t.Logf("FIGURES faults: %d requests in %v, %d kills: %s; %d WebSocket messages",
		f.sent.Load(), took, kills, f.summary(), f.messages.Load())
	t.Logf("FIGURES faults: goroutines %d, busiest %d, afterwards %d; descriptors %d, %d, %d; heap %.1f MiB, afterwards %.1f; resident %.1f MiB at most, afterwards %.1f",
		before.Goroutines, busiest.Goroutines, after.Goroutines, before.OpenFiles, busiest.OpenFiles, after.OpenFiles,
		mib(before.HeapBytes), mib(after.HeapBytes), mib(uint64(rss)), mib(uint64(idle)))
	if rss > 200<<20 || after.HeapBytes > before.HeapBytes+24<<20 {
		t.Errorf("memory: at most %.1f MiB resident, heap afterwards %.1f MiB", mib(uint64(rss)), mib(after.HeapBytes))
	}
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// socketOrigin echoes WebSockets.
func socketOrigin(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = nc.Close() }()
				c, req, err := wstest.AcceptHTTP1(nc)
				if err == nil && c.Agree(req, nil, nil) == nil {
					wstest.NewEnd(t, "origin", c, req.Header).Echo()
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// faults is the load and what came of it.
type faults struct {
	t     *testing.T
	p     *portway
	roots *x509.CertPool
	deeds []misdeed

	sent, messages atomic.Int64
	mu             sync.Mutex
	outcomes       map[string]int
	wrong          int
}

// level is what Portway takes.
func (f *faults) level() admin.Runtime {
	var st admin.Status
	eventually(f.t, 30*time.Second, func() (err error) {
		st, err = f.p.status()
		return err
	})
	return st.Runtime
}

// settle asks, over each protocol, until every origin is found to be well.
func (f *faults) settle() {
	for _, http2 := range []bool{false, true} {
		c := f.newClient(http2)
		for _, url := range []string{"https://mortal.localhost/1", "https://garbage.localhost/0/1"} {
			for range 20 {
				waitStatus(f.t, c, url, 200)
			}
		}
		c.CloseIdleConnections()
	}
}

func (f *faults) newClient(http2 bool) *http.Client {
	c := clientFor(f.p.http, f.p.https, f.roots)
	t := c.Transport.(*http.Transport)
	t.DisableCompression = true
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(!http2)
	t.Protocols.SetHTTP2(http2)
	return c
}

// client asks until stop is closed.
func (f *faults) client(stop <-chan struct{}, http2 bool) {
	c := f.newClient(http2)
	defer c.CloseIdleConnections()
	for !closed(stop) {
		id := int(f.sent.Add(1))
		ctx, cancel := context.WithCancel(context.Background())
		url, may := fmt.Sprintf("https://mortal.localhost/%d", id), anything
		if rand.N(2) == 0 {
			n := rand.N(len(f.deeds))
			url = fmt.Sprintf("https://garbage.localhost/%d/%d", n, id)
			may = allowed(f.deeds[n].want)
			if f.deeds[n].want == silent {
				time.AfterFunc(rand.N(200*time.Millisecond), cancel)
			}
		}
		if rand.N(50) == 0 { // clients, too, go away in the middle
			may |= mayCut | mayFail
			time.AfterFunc(rand.N(5*time.Millisecond), cancel)
		}
		method, content := http.MethodGet, io.Reader(nil)
		if id%4 == 0 {
			method, content = http.MethodPost, bytes.NewReader(contentOf(id))
		}
		req, err := http.NewRequestWithContext(ctx, method, url, content)
		if err != nil {
			f.t.Error(err)
		}
		resp, err := c.Do(req)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		outcome, fault := judge(id, may, resp, body, err)
		f.note(outcome, fault, url)
		cancel()
	}
}

// What an answer may be.
const (
	mayAnswer = 1 << iota
	mayFail   // with a page that says 502, 503 or 504
	mayCut
	anything = mayAnswer | mayFail | mayCut
)

func allowed(want outcome) int {
	return map[outcome]int{complete: mayAnswer, cut: mayCut | mayFail, refused: mayFail, silent: mayCut}[want]
}

// judge tells what an answer to request id is, and what is wrong with it. err is
// nil only where the client took the answer for complete.
func judge(id, may int, resp *http.Response, body []byte, err error) (outcome string, fault error) {
	switch {
	case err != nil:
		if may&mayCut == 0 {
			fault = fmt.Errorf("broken off: %w", err)
		}
		return "cut off", fault
	case resp.StatusCode == http.StatusOK:
		if got := resp.Header.Get("X-Id"); got != strconv.Itoa(id) {
			return "wrong", fmt.Errorf("got the answer to %q", got)
		}
		if !bytes.Equal(body, contentOf(id)) {
			return "wrong", fmt.Errorf("%d bytes that look complete are not the %d of the answer", len(body), len(contentOf(id)))
		}
		if may&mayAnswer == 0 {
			return "wrong", errors.New("an answer that was broken looks complete")
		}
		return "right", nil
	case resp.StatusCode >= 502 && resp.StatusCode <= 504 && resp.Header.Get("X-Id") == "" && resp.Header.Get("X-Request-Id") != "" && len(body) > 0:
		if may&mayFail == 0 {
			fault = fmt.Errorf("%d: %s", resp.StatusCode, body)
		}
		return fmt.Sprint(resp.StatusCode), fault
	}
	return "wrong", fmt.Errorf("%d %v %.200q", resp.StatusCode, resp.Header, body)
}

func (f *faults) note(outcome string, fault error, url string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outcomes[outcome]++
	if fault == nil {
		return
	}
	if f.wrong++; f.wrong <= 20 {
		what := url
		if parts := strings.Split(url, "/"); len(parts) == 5 {
			n, _ := strconv.Atoi(parts[3])
			what += " (" + f.deeds[n].name + ")"
		}
		f.t.Errorf("%s: %v", what, fault)
	}
}

func (f *faults) summary() string {
	var parts []string
	for _, k := range []string{"right", "502", "503", "504", "cut off", "wrong"} {
		parts = append(parts, fmt.Sprintf("%s %d", k, f.outcomes[k]))
	}
	return strings.Join(parts, ", ") + fmt.Sprintf("; not as it must be: %d", f.wrong)
}

// socket sends messages over a WebSocket and wants them back, until stop is closed.
func (f *faults) socket(stop <-chan struct{}, http2 bool) {
	protocol := map[bool]string{false: "http/1.1", true: "h2"}[http2]
	nc, err := tls.Dial("tcp", f.p.https, &tls.Config{RootCAs: f.roots, ServerName: "socket.localhost", NextProtos: []string{protocol}})
	if err != nil {
		f.t.Error(err)
		return
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(2 * time.Minute))
	var c wstest.Conn
	var resp *http.Response
	if http2 {
		c, resp, err = wstest.DialHTTP2(nc, "socket.localhost", "/", nil, nil)
	} else {
		c, resp, err = wstest.DialHTTP1(nc, "socket.localhost", "/", nil, nil)
	}
	if err != nil || resp.StatusCode != map[bool]int{false: 101, true: 200}[http2] {
		f.t.Errorf("WebSocket: %v %+v", err, resp)
		return
	}
	e := wstest.NewEnd(f.t, "WebSocket", c, resp.Header)
	e.Mask = true
	for n := 0; !closed(stop); n++ {
		frame := wstest.Frame{Opcode: wstest.Binary, Payload: contentOf(n)}
		e.Send(frame)
		e.Expect(frame)
		f.messages.Add(1)
	}
}
