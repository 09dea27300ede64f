package h1

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// waitFor waits until something that no event tells has come about.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s in %v", what, patience)
		}
	}
}

const short = 60 * time.Millisecond

// A head must be there as a whole in time: sending it drop by drop does not help.
func TestSlowHead(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := start(t, &Server{Handler: echo, Timeouts: Timeouts{Head: short}}, secure)
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n")
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(short / 10):
					if _, err := io.WriteString(c.Conn, "X: y\r\n"); err != nil {
						return
					}
				}
			}
		})
		resp, content := c.response("GET")
		close(stop)
		wg.Wait()
		if resp.StatusCode != 408 || !resp.Close || content != "request head took too long\n" {
			t.Errorf("got %d %q", resp.StatusCode, content)
		}
		c.expectEnd()

		// Who says nothing is told nothing.
		c = r.dial()
		if secure {
			c.send("")
		}
		c.expectEnd()

		// The head of a second request has the same limit.
		c = r.dial()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET")
		c.expectOK("", "GET x /  HTTP/1.1 ")
		if resp, _ := c.response("GET"); resp.StatusCode != 408 {
			t.Errorf("got %d", resp.StatusCode)
		}
	})
}

func TestIdle(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		c := start(t, &Server{Handler: echo, Timeouts: Timeouts{Idle: short}}, secure).dial()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expectOK("", "GET x /  HTTP/1.1 ")
		c.expectEnd()
	})
}

func TestSlowBody(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		for limit := short; ; limit *= 2 {
			errs := make(chan error, 1)
			r := start(t, &Server{Timeouts: Timeouts{Body: limit}, Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
				content, err := io.ReadAll(ex.Request.Body)
				errs <- err
				answer(ex, string(content))
			})}, secure)
			c := r.dial()
			c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
			for range 5 { // slow, but not too slow
				time.Sleep(limit / 3)
				_, _ = io.WriteString(c.Conn, "x")
			}
			resp, content := c.response("POST")
			if content != "xxxxx" && limit < patience { // the machine may have been too slow
				continue
			}
			if resp.StatusCode != 200 || !resp.Close || content != "xxxxx" {
				t.Errorf("got %d %q", resp.StatusCode, content)
			}
			c.expectEnd()
			if err := <-errs; !errors.Is(err, exchange.ErrClientSlow) {
				t.Errorf("Body read %v", err)
			}
			return
		}
	})
}

// A client that takes nothing does not keep its exchange for ever.
func TestStalledClient(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		ends := make(outcomes, 1)
		c := start(t, &Server{Timeouts: Timeouts{Stall: short}, Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			ex.OnDone(ends)
			ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, -1, endless{}
		})}, secure).dial()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := ends.next(t); !errors.Is(err, exchange.ErrClientSlow) {
			t.Errorf("the exchange ended with %v", err)
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }

// A client that goes away while the origin thinks, or between two events of a
// stream, is noticed without anything to read or write.
func TestClientGone(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		ends := make(outcomes, 1)
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			ex.OnDone(ends)
			if ex.Request.Body != nil {
				_, _ = io.Copy(io.Discard, ex.Request.Body)
			}
			if string(ex.Request.Path) == "/think" {
				<-ex.Context().Done()
				ex.Response.Status = 502
				return
			}
			body := newPiped()
			ex.SetAborter(aborter{body})
			ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, -1, body
		})}, secure)
		leave := map[string]func(*client){
			"closes": func(c *client) { _ = c.Close() },
			"resets": func(c *client) { _ = c.tcp.SetLinger(0); _ = c.tcp.Close() },
		}
		for how, leave := range leave {
			for _, request := range []string{
				"GET /think HTTP/1.1\r\nHost: x\r\n\r\n",
				"POST /think HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
				"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
			} {
				c := r.dial()
				c.send(request)
				if strings.Contains(request, "/stream") {
					c.expect("HTTP/1.1 200 OK\r\n")
				}
				leave(c)
				if err := ends.next(t); !errors.Is(err, exchange.ErrClientGone) {
					t.Errorf("client %s after %q: %v", how, request, err)
				}
			}
		}
	})
}

type aborter struct{ body piped }

func (a aborter) Abort(cause error) { _ = a.body.CloseWithError(cause) }

// A client that goes away in the middle of its request is noticed by reading it.
func TestClientGoneInBody(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		errs := make(chan error, 1)
		ends := make(outcomes, 1)
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			ex.OnDone(ends)
			_, err := io.Copy(io.Discard, ex.Request.Body)
			if ex.Canceled() == nil {
				t.Error("the exchange is not cancelled")
			}
			errs <- err
			ex.Response.Status = 400
		})}, secure)
		for _, request := range []string{
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhello",
			"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		} {
			c := r.dial()
			c.send(request)
			_ = c.Close()
			if err := <-errs; !errors.Is(err, exchange.ErrClientGone) {
				t.Errorf("Body read %v", err)
			}
			_ = ends.next(t)
		}
	})
}

// Shutdown closes idle connections, lets others finish, and cuts off what is left
// at the end of its patience.
func TestShutdown(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		bodies := make(chan piped, 2)
		ends := make(outcomes, 2)
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			if string(ex.Request.Path) == "/" {
				answer(ex, "x")
				return
			}
			ex.OnDone(ends)
			body := newPiped()
			ex.SetAborter(aborter{body})
			ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, -1, body
			bodies <- body
		})}, secure)
		fresh, kept, busy, stuck := r.dial(), r.dial(), r.dial(), r.dial()
		kept.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		kept.expectOK("", "x")
		if secure {
			fresh.send("") // shakes hands
		}
		for _, c := range []*client{busy, stuck} {
			c.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
			c.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		}
		first, second := <-bodies, <-bodies
		defer func() { _ = second.w.Close() }()
		waitFor(t, "connections", func() bool { return len(r.conns.All(nil)) == 4 })
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var wg sync.WaitGroup
		var err error
		wg.Go(func() { err = r.Shutdown(ctx) })
		fresh.expectEnd()
		kept.expectEnd()
		_ = first.w.Close()
		busy.expect("0\r\n\r\n")
		busy.expectEnd()
		if err := ends.next(t); err != nil {
			t.Errorf("busy exchange: %v", err)
		}
		cancel()
		wg.Wait()
		if err == nil {
			t.Error("Shutdown does not tell that something was cut off")
		}
		if rest, _ := io.ReadAll(stuck.r); len(rest) > 0 {
			t.Errorf("what was cut off ends with %q", rest)
		}
		if err := ends.next(t); err == nil {
			t.Error("the exchange that was cut off ended well")
		}
		late := r.dial()
		if secure {
			late.send("")
		}
		if n, err := late.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("a connection was served after Shutdown")
		}
	})
}

// A response during Shutdown says that the connection is closed.
func TestShutdownTellsClient(t *testing.T) {
	t.Parallel()
	working, proceed := make(chan struct{}), make(chan struct{})
	r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		close(working)
		<-proceed
		answer(ex, "x")
	})}, false)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-working
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "draining", func() bool {
		for _, c := range r.conns.All(nil) {
			return c.drain.Load()
		}
		return false
	})
	close(proceed)
	c.expectOK("Connection: close\r\n", "x")
	c.expectEnd()
	wg.Wait()
}
