package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/proxy/exchange"
)

func TestKeepsOneConnection(t *testing.T) {
	t.Parallel()
	o := listen(t, answerAll)
	p := o.pool(t, Config{})
	for range 10 {
		mustGet(t, p)
	}
	if n := o.accepted.Load(); n != 1 {
		t.Errorf("%d connections for requests in sequence", n)
	}
	if s := p.Stats(); s != (Stats{Open: 1, Idle: 1}) {
		t.Errorf("%+v", s)
	}
}

// The connection used last is used next, so that the others can go.
func TestReuseIsLIFO(t *testing.T) {
	t.Parallel()
	o := listen(t, func(c net.Conn, r *bufio.Reader, n int) {
		for skipRequest(r) {
			// Chunked, so that the connection is in use until the body was read.
			say(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nN: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", n))
		}
	})
	p := o.pool(t, Config{})
	a, b := newExchange("GET", "/"), newExchange("GET", "/")
	for _, ex := range []*exchange.Exchange{a, b} {
		if err := p.RoundTrip(ex); err != nil {
			t.Fatal(err)
		}
	}
	for i, ex := range []*exchange.Exchange{b, a} { // connection 0, of a, is back last
		_, _ = io.Copy(io.Discard, ex.Response.Body)
		ex.Finish(5, nil)
		if s := p.Stats(); s.Idle != i+1 {
			t.Fatalf("%+v", s)
		}
	}
	for range 3 {
		if res := run(p, newExchange("GET", "/")); res.fields != "n=0" {
			t.Errorf("got connection %s", res.fields)
		}
	}
}

func TestMaxIdle(t *testing.T) {
	t.Parallel()
	o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		for skipRequest(r) {
			say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		}
	})
	p := o.pool(t, Config{MaxIdle: 2})
	var exchanges []*exchange.Exchange
	for range 5 {
		ex := newExchange("GET", "/")
		if err := p.RoundTrip(ex); err != nil {
			t.Fatal(err)
		}
		exchanges = append(exchanges, ex)
	}
	if s := p.Stats(); s != (Stats{Open: 5, Busy: 5}) {
		t.Errorf("%+v", s)
	}
	for _, ex := range exchanges {
		_, _ = io.Copy(io.Discard, ex.Response.Body)
		ex.Finish(0, nil)
	}
	if s := p.Stats(); s != (Stats{Open: 2, Idle: 2}) {
		t.Errorf("%+v", s)
	}
}

// What may happen to a connection that is in the pool, and what the next request
// must not suffer from it.
func TestStaleConnections(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		then func(net.Conn) // after the first answer
		ex   func() *exchange.Exchange
	}{
		{"FIN, then GET", func(c net.Conn) { _ = c.Close() }, func() *exchange.Exchange { return newExchange("GET", "/") }},
		{"RST, then GET", reset, func() *exchange.Exchange { return newExchange("GET", "/") }},
		{"FIN, then POST", func(c net.Conn) { _ = c.Close() }, func() *exchange.Exchange { return withBody(newExchange("POST", "/"), "x") }},
		{"RST, then POST", reset, func() *exchange.Exchange { return withBody(newExchange("POST", "/"), "x") }},
		{"RST, then DELETE", reset, func() *exchange.Exchange { return newExchange("DELETE", "/") }},
		{"FIN, then streamed POST", func(c net.Conn) { _ = c.Close() }, func() *exchange.Exchange {
			ex, w := withPipe(newExchange("POST", "/"))
			_ = w.Close()
			return ex
		}},
		{"unasked answer, then POST", func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") }, func() *exchange.Exchange { return withBody(newExchange("POST", "/"), "x") }},
		{"408 and FIN, then POST", func(c net.Conn) {
			say(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
			_ = c.Close()
		}, func() *exchange.Exchange { return withBody(newExchange("POST", "/"), "x") }},
	}
	for _, tt := range tests {
		for _, swept := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/swept %v", tt.name, swept), func(t *testing.T) {
				t.Parallel()
				o := listen(t, func(c net.Conn, r *bufio.Reader, n int) {
					for skipRequest(r) {
						say(c, okAnswer)
						if n == 0 {
							tt.then(c)
						}
					}
				})
				p := o.pool(t, Config{})
				mustGet(t, p)
				eventually(t, "the origin's move", p.staleIdle)
				if swept {
					p.Sweep(time.Now())
					if s := p.Stats(); s.Open != 0 {
						t.Errorf("the sweeper left %+v", s)
					}
				}
				if res := run(p, tt.ex()); res.err != nil || res.body != "ok" {
					t.Errorf("%+v", res)
				}
				if n := o.accepted.Load(); n != 2 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}

// An answer that nobody asked for must not become the next one's.
func TestUnaskedAnswerBeforeGet(t *testing.T) {
	t.Parallel()
	o := listen(t, func(c net.Conn, r *bufio.Reader, n int) {
		for skipRequest(r) {
			say(c, okAnswer)
			if n == 0 {
				say(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			}
		}
	})
	p := o.pool(t, Config{})
	mustGet(t, p)
	eventually(t, "arrival of the junk", p.staleIdle)
	mustGet(t, p)
}

// The origin closes a used connection at the moment when the next request comes
// in. Only what is safe is sent again, and only once.
func TestClosedWithoutAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		ex     *exchange.Exchange
		all    bool // new connections are closed without an answer too
		dials  int32
		asked  int32 // requests that reached the origin, behind the first
		status int
		is     error
	}{
		{"GET is sent again", newExchange("GET", "/"), false, 2, 2, 200, nil},
		{"GET is sent again, once", newExchange("GET", "/"), true, 2, 2, 0, ErrNotProcessed},
		{"POST is not", withBody(newExchange("POST", "/"), "x"), false, 1, 1, 0, io.EOF},
		{"DELETE is not", newExchange("DELETE", "/"), false, 1, 1, 0, io.EOF},
		{"GET with a body is not", withBody(newExchange("GET", "/"), "x"), false, 1, 1, 0, io.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			o := listen(t, func(c net.Conn, r *bufio.Reader, n int) {
				for i := 0; skipRequest(r); i++ {
					if n > 0 || i > 0 {
						asked.Add(1)
					}
					if n == 0 && i > 0 || n > 0 && tt.all {
						return
					}
					say(c, okAnswer)
				}
			})
			p := o.pool(t, Config{})
			mustGet(t, p)
			res := run(p, tt.ex)
			if res.status != tt.status || !errors.Is(res.err, tt.is) {
				t.Errorf("status %d, error %v", res.status, res.err)
			}
			if tt.is != nil {
				wantErr(t, res.err, tt.is, "without an answer")
			}
			if errors.Is(tt.is, io.EOF) && errors.Is(res.err, ErrNotProcessed) {
				t.Errorf("%v says that it may be sent again", res.err)
			}
			if n := o.accepted.Load(); n != tt.dials {
				t.Errorf("%d connections, want %d", n, tt.dials)
			}
			if n := asked.Load(); n != tt.asked {
				t.Errorf("sent %d times, want %d", n, tt.asked)
			}
		})
	}
}

func TestMaxConns(t *testing.T) {
	t.Parallel()
	var busy, most atomic.Int32
	o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		for skipRequest(r) {
			n := busy.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(100 * time.Microsecond) // so that requests overlap
			busy.Add(-1)
			say(c, okAnswer)
		}
	})
	p := o.pool(t, Config{MaxConns: 3})
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if res := run(p, newExchange("GET", "/")); res.err != nil {
				t.Error(res.err)
			}
		})
	}
	wg.Wait()
	if n := o.accepted.Load(); n > 3 {
		t.Errorf("%d connections", n)
	}
	if n := most.Load(); n < 2 || n > 3 {
		t.Errorf("%d requests at once", n)
	}
	if s := p.Stats(); s.Busy != 0 || len(p.waiters) != 0 || p.dialing != 0 {
		t.Errorf("%+v, %d waiters, %d dialing", s, len(p.waiters), p.dialing)
	}
}

// Connections that die give their places to those who wait.
func TestMaxConnsWithDyingConnections(t *testing.T) {
	t.Parallel()
	o := listen(t, func(c net.Conn, r *bufio.Reader, n int) {
		for i := 0; skipRequest(r); i++ {
			switch {
			case n%3 == 2:
				reset(c)
			case i%2 == 0:
				say(c, okAnswer)
			default:
				say(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	})
	p := o.pool(t, Config{MaxConns: 2})
	var wg sync.WaitGroup
	var good atomic.Int32
	for range 100 {
		wg.Go(func() {
			if run(p, newExchange("GET", "/")).err == nil {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() < 30 {
		t.Errorf("%d of 100 requests got through", good.Load())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiters) != 0 || p.dialing != 0 || len(p.conns) > 2 {
		t.Errorf("%d waiters, %d dialing, %d connections", len(p.waiters), p.dialing, len(p.conns))
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		for skipRequest(r) {
			<-release
			say(c, okAnswer)
		}
	})
	p := o.pool(t, Config{MaxConns: 1})
	first := make(chan result)
	go func() { first <- run(p, newExchange("GET", "/")) }()
	eventually(t, "the first request", func() bool { return p.Stats().Busy == 1 })
	p.cfg.DialTimeout = 30 * time.Millisecond

	res := run(p, withBody(newExchange("POST", "/"), "x"))
	wantErr(t, res.err, ErrBusy, "all 1 connections to "+p.name+" were in use for 30ms")
	wantErr(t, res.err, ErrNotProcessed, "")

	gone := newExchange("GET", "/")
	p.cfg.DialTimeout = time.Hour
	go gone.Cancel(exchange.ErrClientGone)
	wantErr(t, run(p, gone).err, exchange.ErrClientGone, "given up")

	close(release)
	if res := <-first; res.err != nil {
		t.Error(res.err)
	}
	mustGet(t, p)
}

func TestPoolClose(t *testing.T) {
	t.Parallel()
	o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		for skipRequest(r) {
			say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
			say(c, "ok")
		}
	})
	p := o.pool(t, Config{})
	mustGet(t, p)
	p.Close()
	if s := p.Stats(); s.Open != 0 {
		t.Errorf("%+v after Close", s)
	}
	mustGet(t, p) // by somebody with an old table
	if s := p.Stats(); s.Open != 0 {
		t.Errorf("%+v: a closed pool keeps connections", s)
	}
}
