package h2

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"portway/proxy/exchange"
)

// piped serves one end of a pipe and returns the other; done is closed when the
// server is through with it.
func piped(s *Server) (client net.Conn, done chan struct{}) {
	client, server := net.Pipe()
	done = make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(server, &exchange.Conn{Protocol: exchange.HTTP2})
	}()
	return client, done
}

// hangUp ends a connection, and waits for the sweeper and idle goroutines.
func hangUp(nc net.Conn, done chan struct{}) {
	_ = nc.Close()
	<-done
	time.Sleep(2 * sweepEvery)
}

// within checks that something takes about that long.
func within(t *testing.T, start time.Time, limit time.Duration) {
	t.Helper()
	if took := time.Since(start); took < limit || took > limit+3*time.Second {
		t.Errorf("after %v, want %v", took, limit)
	}
}

func TestSlowGreeting(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"nothing": "", "half a preface": preface[:10], "no SETTINGS": preface, "half of SETTINGS": preface + "\x00\x00\x06\x04",
		"half a header block": preface + string(appendSettings(nil)) + string(appendFrameHeader(nil, 1, frameHeaders, flagEndStream, 1)) + "\x82",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				nc, done := piped(&Server{Handler: hello})
				go func() { _, _ = io.Copy(io.Discard, nc) }()
				_, _ = io.WriteString(nc, said)
				<-done
				within(t, start, 10*time.Second)
				hangUp(nc, done)
			})
		})
	}
}

func TestWrongPreface(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "\x16\x03\x01", preface + string(appendPing(nil, false, make([]byte, 8)))} {
		synctest.Test(t, func(t *testing.T) {
			nc, done := piped(&Server{Handler: hello})
			c := newRawClient(t, nc)
			c.raw(said)
			c.want("settings")
			c.want("goaway 0 PROTOCOL_ERROR")
			hangUp(nc, done)
		})
	}
}

func TestIdleConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nc, done := piped(&Server{Handler: hello})
		c := greetAs(t, nc)
		time.Sleep(2 * time.Minute)
		c.headers(1, true, c.get())
		c.want("data 1 5 end")
		start := time.Now()
		c.want("goaway 1 NO_ERROR")
		within(t, start, 3*time.Minute)
		<-done
		hangUp(nc, done)
	})
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan error, 1)
		nc, done := piped(&Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			_, err := io.Copy(io.Discard, ex.Request.Body)
			slow <- err
			text(ex, 408, "")
		})})
		c := greetAs(t, nc)
		c.headers(1, false, c.post("content-length", "10"))
		time.Sleep(50 * time.Second)
		c.must(c.fr.WriteData(1, false, []byte("x"))) // not too slow yet
		start := time.Now()
		c.answerPings("head 1 408")
		within(t, start, time.Minute)
		if err := <-slow; !errors.Is(err, exchange.ErrClientSlow) {
			t.Errorf("reading gave %v", err)
		}
		hangUp(nc, done)
	})
}

// answerPings gives signs of life until an event comes.
func (c *rawClient) answerPings(until string) {
	c.t.Helper()
	for n := len(c.seen); !contains(c.seen[n:], until); {
		e, ok := <-c.events
		if c.seen = append(c.seen, e); !ok {
			c.t.Fatalf("connection closed, want %q; events: %q", until, c.seen)
		}
		if e == "ping" {
			var data [8]byte
			copy(data[:], pingAlive)
			c.must(c.fr.WritePing(true, data))
		}
	}
}

// TestSilentCalls keeps streams of unknown length open as long as the client
// lives, such as gRPC calls and events where nothing happens.
func TestSilentCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nc, done := piped(&Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			_, _ = io.Copy(io.Discard, ex.Request.Body)
			time.Sleep(time.Hour)
			hello(ex)
		})})
		c := greetAs(t, nc)
		c.headers(1, false, c.post())
		time.AfterFunc(time.Hour, func() { c.raw(string(appendFrameHeader(nil, 0, frameData, flagEndStream, 1))) })
		start := time.Now()
		c.answerPings("data 1 5 end")
		within(t, start, 2*time.Hour)
		hangUp(nc, done)
	})
}

// TestDeadClient stops to answer: the handler is told, and the connection goes.
func TestDeadClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var cause error
		nc, done := piped(&Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			<-ex.Context().Done()
			cause = ex.Canceled()
		})})
		c := greetAs(t, nc)
		c.headers(1, true, c.get())
		start := time.Now()
		c.want("ping")
		<-done
		within(t, start, time.Minute)
		hangUp(nc, done)
		if !errors.Is(cause, exchange.ErrClientGone) {
			t.Errorf("cancelled because of %v", cause)
		}
	})
}

// TestStalledStream gives no window: the stream goes, the connection stays.
func TestStalledStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan error, 1)
		nc, done := piped(&Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			ex.OnDone(doneFunc(func(_ int64, err error) { gone <- err }))
			ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, 1<<40, &zeros{1 << 40}
		})})
		c := greetAs(t, nc, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		c.headers(1, true, c.get())
		c.want("data 1 10")
		start := time.Now()
		c.answerPings("rst 1 CANCEL")
		within(t, start, 2*time.Minute)
		if err := <-gone; !errors.Is(err, errStalled) {
			t.Errorf("ended with %v", err)
		}
		c.alive()
		hangUp(nc, done)
	})
}

// TestStalledConnection takes nothing from the wire any more.
func TestStalledConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nc, done := piped(&Server{Handler: hello})
		fr := http2.NewFramer(nc, nc)
		greeted := make(chan struct{})
		go func() {
			_, _ = fr.ReadFrame()
			_, _ = fr.ReadFrame()
			close(greeted)
		}()
		_, _ = io.WriteString(nc, preface+string(appendSettings(nil)))
		<-greeted
		start := time.Now()
		<-done // the acknowledgement is never read
		within(t, start, 2*time.Minute)
		hangUp(nc, done)
	})
}

func TestLingeringUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nc, done := piped(&Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) { text(ex, 403, "no") })})
		c := greetAs(t, nc)
		c.headers(1, false, c.post())
		c.want("data 1 2 end")
		start := time.Now()
		c.want("rst 1 NO_ERROR")
		within(t, start, 2*time.Second)
		hangUp(nc, done)
	})
}

// TestNoTimeouts switches limits off.
func TestNoTimeouts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nc, done := piped(&Server{Handler: hello, Timeouts: Timeouts{Head: -1, Idle: -1, Body: -1, Stall: -1, Ping: -1}})
		c := greetAs(t, nc)
		time.Sleep(time.Hour)
		c.headers(1, false, c.post("content-length", "5"))
		time.Sleep(time.Hour)
		c.must(c.fr.WriteData(1, true, []byte("hello")))
		c.want("data 1 5 end")
		if contains(c.seen, "ping") || contains(c.seen, "goaway") {
			t.Errorf("events: %q", c.seen)
		}
		hangUp(nc, done)
	})
}
