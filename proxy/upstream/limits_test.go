package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// clock is a sweeper whose time the test makes.
type clock struct {
	p   *Pool
	now time.Time
}

// pass sweeps every half second for d, as the owner of a pool does.
func (c *clock) pass(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); c.now = c.now.Add(500 * time.Millisecond) {
		c.p.Sweep(c.now)
	}
}

func newClock(p *Pool) *clock { return &clock{p, time.Unix(1e9, 0)} }

// waiting tells whether an exchange of p is in that phase.
func (p *Pool) waiting(recv, send phase) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if phaseOf(c.recv.word.Load()) == recv && phaseOf(c.send.word.Load()) == send {
			return true
		}
	}
	for _, s := range p.streams2 {
		if phaseOf(s.recv.word.Load()) == recv && phaseOf(s.send.word.Load()) == send {
			return true
		}
	}
	return false
}

// holdsFor checks that the exchange lives for d of silence and no longer than a
// second more.
func holdsFor(t *testing.T, c *clock, d time.Duration, done <-chan error) error {
	t.Helper()
	c.pass(d)
	select {
	case err := <-done:
		t.Errorf("over before %v: %v", d, err)
		return err
	case <-time.After(20 * time.Millisecond):
	}
	c.pass(time.Second)
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		t.Fatalf("still waiting after %v", d+time.Second)
		return nil
	}
}

func TestTimeLimits(t *testing.T) {
	t.Parallel()
	cfg := Config{FirstByte: 10 * time.Second, Idle: 20 * time.Second}
	silent := func(c net.Conn, _ *bufio.Reader, _ int) {
		_, _ = io.Copy(io.Discard, c)
	}

	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		p := listen(t, silent).pool(t, cfg)
		done := make(chan error, 1)
		go func() { done <- run(p, newExchange("GET", "/")).err }()
		eventually(t, "waiting", func() bool { return p.waiting(awaitHead, quiet) })
		wantErr(t, holdsFor(t, newClock(p), cfg.FirstByte, done), ErrTimeout, "sent no answer within 10s")
		if s := p.Stats(); s.Open != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("a head byte by byte", func(t *testing.T) {
		t.Parallel()
		next := make(chan struct{})
		p := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
			skipRequest(r)
			for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyy") {
				<-next
				say(c, string(b))
			}
		}).pool(t, cfg)
		done := make(chan error, 1)
		go func() { done <- run(p, newExchange("GET", "/")).err }()
		eventually(t, "waiting", func() bool { return p.waiting(awaitHead, quiet) })
		c := newClock(p)
		for range 20 {
			next <- struct{}{}
			c.pass(500 * time.Millisecond)
		}
		c.pass(time.Second)
		wantErr(t, <-done, ErrTimeout, "sent no answer within 10s")
		close(next)
	})
	t.Run("interim answers begin it anew", func(t *testing.T) {
		t.Parallel()
		next := make(chan string)
		p := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
			skipRequest(r)
			for s := range next {
				say(c, s)
			}
		}).pool(t, cfg)
		f := &front{}
		ex := newExchange("GET", "/")
		ex.Front = f
		done := make(chan error, 1)
		go func() { done <- run(p, ex).err }()
		eventually(t, "waiting", func() bool { return p.waiting(awaitHead, quiet) })
		c := newClock(p)
		for i := range 3 {
			c.pass(9 * time.Second)
			next <- "HTTP/1.1 102 Processing\r\n\r\n"
			eventually(t, "the interim answer", func() bool { return strings.Count(f.String(), "102") == i+1 && p.waiting(awaitHead, quiet) })
		}
		next <- okAnswer
		if err := <-done; err != nil {
			t.Error(err)
		}
		close(next)
	})
	t.Run("silence in the body", func(t *testing.T) {
		t.Parallel()
		p := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
			skipRequest(r)
			say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			_, _ = io.Copy(io.Discard, c)
		}).pool(t, cfg)
		done := make(chan error, 1)
		go func() { done <- run(p, newExchange("GET", "/")).bodyErr }()
		eventually(t, "waiting", func() bool { return p.waiting(awaitBody, quiet) })
		err := holdsFor(t, newClock(p), cfg.Idle, done)
		wantErr(t, err, ErrTimeout, "went silent for 20s in the middle of its answer")
		wantErr(t, err, io.ErrUnexpectedEOF, "")
	})
	t.Run("a slow client is no fault of the origin", func(t *testing.T) {
		t.Parallel()
		p := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
			skipRequest(r)
			say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			say(c, "world")
			_, _ = io.Copy(io.Discard, c)
		}).pool(t, cfg)
		ex := newExchange("GET", "/")
		if err := p.RoundTrip(ex); err != nil {
			t.Fatal(err)
		}
		newClock(p).pass(time.Hour)
		body, err := io.ReadAll(ex.Response.Body)
		if string(body) != "helloworld" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		ex.Finish(10, nil)
	})
	t.Run("a slow upload is no fault of the origin", func(t *testing.T) {
		t.Parallel()
		p := listen(t, answerAll).pool(t, cfg)
		ex, w := withPipe(newExchange("POST", "/"))
		done := make(chan error, 1)
		go func() { done <- run(p, ex).err }()
		eventually(t, "waiting", func() bool { return p.waiting(awaitHead, asking) })
		newClock(p).pass(time.Hour)
		_ = w.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("an origin that does not take the upload", func(t *testing.T) {
		t.Parallel()
		hold := make(chan struct{})
		p := listen(t, func(net.Conn, *bufio.Reader, int) { <-hold }).pool(t, cfg)
		ex, w := withPipe(newExchange("POST", "/"))
		go func() {
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}()
		done := make(chan error, 1)
		go func() { done <- run(p, ex).err }()
		eventually(t, "full buffers", func() bool {
			if !p.waiting(awaitHead, writing) {
				return false
			}
			before := p.conns[0].send.word.Load()
			time.Sleep(50 * time.Millisecond)
			return p.waiting(awaitHead, writing) && p.conns[0].send.word.Load() == before
		})
		wantErr(t, holdsFor(t, newClock(p), cfg.Idle, done), ErrTimeout, "took nothing of the request's body for 20s")
		close(hold)
		_ = w.Close()
	})
	t.Run("unused connections", func(t *testing.T) {
		t.Parallel()
		p := listen(t, answerAll).pool(t, Config{IdleConn: 30 * time.Second})
		c := newClock(p)
		for range 3 { // use begins it anew
			mustGet(t, p)
			c.pass(29 * time.Second)
			if s := p.Stats(); s.Idle != 1 {
				t.Fatalf("%+v", s)
			}
		}
		c.pass(2 * time.Second)
		if s := p.Stats(); s.Open != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("no limits", func(t *testing.T) {
		t.Parallel()
		p := listen(t, silent).pool(t, Config{FirstByte: -1, Idle: -1})
		ex := newExchange("GET", "/")
		done := make(chan error, 1)
		go func() { done <- run(p, ex).err }()
		eventually(t, "waiting", func() bool { return p.waiting(awaitHead, quiet) })
		newClock(p).pass(time.Hour)
		ex.Cancel(exchange.ErrClientGone)
		wantErr(t, <-done, exchange.ErrClientGone, "")
	})
}

// The client goes away at some point of an exchange: the origin sees the
// connection close, and the caller the reason.
func TestCancel(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer string
		ready  phase
	}{
		{"before the head", "", awaitHead},
		{"in the head", "HTTP/1.1 200", awaitHead},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", awaitBody},
		{"in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", awaitBody},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			closed := make(chan struct{})
			o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
				defer close(closed)
				skipRequest(r)
				say(c, tt.answer)
				_, _ = io.Copy(io.Discard, c)
			})
			p := o.pool(t, Config{})
			ex := newExchange("GET", "/")
			done := make(chan error, 1)
			go func() {
				res := run(p, ex)
				done <- errors.Join(res.err, res.bodyErr)
			}()
			eventually(t, "waiting", func() bool { return p.waiting(tt.ready, quiet) })
			ex.Cancel(exchange.ErrClientGone)
			wantErr(t, <-done, exchange.ErrClientGone, "given up")
			<-closed
			if s := p.Stats(); s.Open != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Close of the answer's body interrupts a Read in another goroutine.
func TestCloseInterruptsRead(t *testing.T) {
	t.Parallel()
	p := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		skipRequest(r)
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	}).pool(t, Config{})
	ex := newExchange("GET", "/")
	if err := p.RoundTrip(ex); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := ex.Response.Body.Read(make([]byte, 5))
		done <- err
	}()
	eventually(t, "waiting", func() bool { return p.waiting(awaitBody, quiet) })
	for range 2 {
		if err := ex.Response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	wantErr(t, <-done, errClosed, "")
	ex.Finish(0, nil)
}

// An answer that is in memory can be read when its connection serves others.
func TestEarlyRelease(t *testing.T) {
	t.Parallel()
	o := listen(t, answerAll)
	p := o.pool(t, Config{})
	ex := newExchange("GET", "/")
	if err := p.RoundTrip(ex); err != nil {
		t.Fatal(err)
	}
	mustGet(t, p)
	if n := o.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if body, err := io.ReadAll(ex.Response.Body); string(body) != "ok" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	// Late interruptions do not hit the connection's next user.
	ex.Cancel(exchange.ErrClientGone)
	ex.Finish(2, nil)
	mustGet(t, p)
	if n := o.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
