package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	slowHeads      = 2000
	slowBodies     = 100
	slowHandshakes = 200

	headLimit      = 30 * time.Second // Portway's; see package proxy
	handshakeLimit = 10 * time.Second
)

// TestSlowloris opens 2,000 connections that send their heads byte by byte, and
// some that do so with bodies and TLS handshakes, while honest clients measure. In
// turns with quiet phases, since the machine has other things to do, too.
func TestSlowloris(t *testing.T) {
	const most = 9 // rounds, while the machine is too restless to tell
	phase := 3 * time.Second
	if testing.Short() {
		phase = time.Second
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(func() { origin.CloseClientConnections(); origin.Close() })
	p := start(t, oneSite(t, origin.URL), "--log-level=error")
	h := &honest{p: p, roots: internalRoot(t, p.http)}
	waitStatus(t, h.client(true), "https://site.localhost/", 200)
	h.measure(t, phase/2) // both sides' caches are warm
	before := residentMemory(t, p.cmd.Process.Pid)

	var quiet, attacked []float64
	var ratio float64
	var rss int64
	var last *slowloris
	for last == nil {
		quiet = append(quiet, h.measure(t, phase))
		a := attack(t, p, h.roots)
		attacked = append(attacked, h.measure(t, phase))
		rss = max(rss, residentMemory(t, p.cmd.Process.Pid))
		ratio = median(attacked) / median(quiet)
		if n := len(quiet); n >= 3 && ratio <= 1.5 || n == most {
			last = a
			break
		}
		a.end()
	}
	t.Logf("FIGURES slowloris: with %d slow heads, %d slow bodies and %d slow handshakes, honest clients' p99 is %.2f ms instead of %.2f, %.2f times (limit 1.5; medians of %d rounds)",
		slowHeads, slowBodies, slowHandshakes, median(attacked), median(quiet), ratio, len(quiet))
	if ratio > 1.5 {
		t.Errorf("honest clients' p99 is %.2f times the normal one; by round %.1f ms, normally %.1f ms", ratio, attacked, quiet)
	}
	heads, handshakes := last.wait(t)
	t.Logf("FIGURES slowloris: all %d slow heads cut after at most %.1f s (limit %v), %d slow handshakes after %.1f s (limit %v); %.1f KiB of memory for each connection",
		slowHeads, heads.Seconds(), headLimit, slowHandshakes, handshakes.Seconds(), handshakeLimit, float64(rss-before)/1024/(slowHeads+slowBodies+slowHandshakes))
	if rss-before > 100<<20 {
		t.Errorf("%d MiB of memory for the slow", (rss-before)>>20)
	}
}

func median(of []float64) float64 {
	s := slices.Sorted(slices.Values(of))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// honest are clients that ask at a moderate pace.
type honest struct {
	p     *portway
	roots *x509.CertPool
}

func (h *honest) client(http2 bool) *http.Client {
	c := clientFor(h.p.http, h.p.https, h.roots)
	t := c.Transport.(*http.Transport)
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(!http2)
	t.Protocols.SetHTTP2(http2)
	return c
}

// measure gives the 99th percentile of the time that requests take, in ms.
func (h *honest) measure(t *testing.T, length time.Duration) float64 {
	t.Helper()
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := h.client(i%2 == 0)
			defer c.CloseIdleConnections()
			var took []time.Duration
			for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
				begun := time.Now()
				status, body, err := get(c, "https://site.localhost/")
				if err != nil || status != 200 || body != "hello" {
					t.Errorf("an honest client got %d %q, %v", status, body, err)
					return
				}
				took = append(took, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took[1:]...) // without the handshake
		})
	}
	wg.Wait()
	if len(all) < 100 {
		t.Fatalf("only %d requests", len(all))
	}
	slices.Sort(all)
	return float64(all[len(all)*99/100]) / float64(time.Millisecond)
}

// slowloris is what attacks.
type slowloris struct {
	conns []*slowConn
	stop  chan struct{}
	done  sync.WaitGroup
}

// slowConn says one byte after the other, until it is cut.
type slowConn struct {
	net.Conn
	kind  string
	text  string // and then x for ever
	sent  int
	begun time.Time // with the first byte
	cut   chan struct{}
	at    time.Time
}

func (c *slowConn) next() {
	b := []byte("x")
	if c.begun.IsZero() {
		c.begun = time.Now()
	}
	if c.sent < len(c.text) {
		b[0] = c.text[c.sent]
	}
	c.sent++
	_, _ = c.Write(b) // whether it is cut, reading tells
}

// attack opens all connections, each of which then says a byte each second.
func attack(t *testing.T, p *portway, roots *x509.CertPool) *slowloris {
	t.Helper()
	a := &slowloris{stop: make(chan struct{})}
	const slowHead = "GET / HTTP/1.1\r\nHost: site.localhost\r\nX-Slow: "
	add := func(n int, secure bool, kind, at, text string) {
		for range n {
			c := &slowConn{kind: kind, text: text, cut: make(chan struct{})}
			var err error
			if secure {
				c.Conn, err = tls.Dial("tcp", at, &tls.Config{RootCAs: roots, ServerName: "site.localhost", NextProtos: []string{"http/1.1"}})
			} else {
				c.Conn, err = net.Dial("tcp", at)
			}
			if err != nil {
				t.Fatal(err)
			}
			if kind == "body" { // the head is quick
				_, _ = io.WriteString(c, text)
				c.sent = len(text)
			}
			a.conns = append(a.conns, c)
			go func() {
				_, _ = io.Copy(io.Discard, c.Conn)
				c.at = time.Now()
				close(c.cut)
			}()
		}
	}
	add(slowHeads*3/4, false, "head", p.http, slowHead)
	add(slowHeads/4, true, "head", p.https, slowHead)
	add(slowBodies, true, "body", p.https, "POST / HTTP/1.1\r\nHost: site.localhost\r\nContent-Length: 100000\r\n\r\n")
	add(slowHandshakes, false, "handshake", p.https, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")
	a.done.Go(func() {
		pause := time.Second / time.Duration(len(a.conns)/10)
		for i := 0; !closed(a.stop); i++ {
			a.conns[i%len(a.conns)].next()
			if i%10 == 0 {
				time.Sleep(pause)
			}
		}
	})
	return a
}

// end closes the connections.
func (a *slowloris) end() {
	close(a.stop)
	a.done.Wait()
	for _, c := range a.conns {
		_ = c.Close()
	}
}

// wait waits until every slow head and handshake is cut, and tells after how long.
func (a *slowloris) wait(t *testing.T) (heads, handshakes time.Duration) {
	t.Helper()
	defer a.end()
	const sweep = 2 * time.Second // limits are looked at now and then; and the machine is busy
	late := time.After(headLimit + 10*time.Second)
	left := map[string]int{}
	for _, c := range a.conns {
		if c.kind == "body" {
			continue
		}
		select {
		case <-c.cut:
		case <-late:
			left[c.kind]++
			continue
		}
		took := c.at.Sub(c.begun)
		if c.kind == "head" {
			heads = max(heads, took)
		} else {
			handshakes = max(handshakes, took)
		}
	}
	if len(left) > 0 || heads > headLimit+sweep || handshakes > handshakeLimit+sweep {
		t.Errorf("not cut: %v; the last head after %v, the last handshake after %v", left, heads, handshakes)
	}
	return heads, handshakes
}
