package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"portway/proxy/exchange"
)

// zeros is a body of so many zero bytes.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	return n, nil
}

func (z *zeros) Close() error { return nil }

func download(size int64) exchange.Handler {
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, size, &zeros{size}
	})
}

// TestSendWindows watches that not a byte more is sent than the client allows.
func TestSendWindows(t *testing.T) {
	t.Parallel()
	ts := serve(t, false, &Server{Handler: download(100_000)})

	t.Run("of a stream", func(t *testing.T) {
		c := ts.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
		c.headers(1, true, c.get())
		c.want("data 1 3")
		c.must(c.fr.WriteWindowUpdate(1, 1))
		c.want("data 1 1")
		// A smaller initial window makes this one negative, and a later update must
		// first make up for that (RFC 9113 section 6.9.2).
		c.must(c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}))
		c.want("settings ack")
		c.must(c.fr.WriteWindowUpdate(1, 2))
		c.alive()
		c.must(c.fr.WriteWindowUpdate(1, 7))
		c.want("data 1 7")
		// A larger one opens it.
		c.must(c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 11}))
		c.want("data 1 10")
		if n := c.size(1); n != 21 {
			t.Errorf("%d bytes came, want 21", n)
		}
	})

	t.Run("of the connection", func(t *testing.T) {
		c := ts.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		c.headers(1, true, c.get())
		c.headers(3, true, c.get())
		c.headers(5, true, c.get())
		got := func() int { return c.size(1) + c.size(3) + c.size(5) }
		waitFor(t, "the window to be used up", func() bool { return got() == defaultWindow })
		c.alive()
		// All streams get on, not only the first.
		for got() < 3*100_000 {
			before := got()
			c.must(c.fr.WriteWindowUpdate(0, 20_000))
			waitFor(t, "more", func() bool { return got() == min(before+20_000, 300_000) })
		}
		c.alive()
	})

	t.Run("heads need none", func(t *testing.T) {
		c := ts.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		c.headers(1, true, c.get())
		c.headers(3, true, c.get())
		waitFor(t, "the window to be used up", func() bool { return c.size(1)+c.size(3) == defaultWindow })
		c.headers(5, true, c.get())
		c.want("head 5 200")
		c.headers(7, true, c.encode(":method", "HEAD", ":scheme", "https", ":authority", "localhost", ":path", "/"))
		c.want("head 7 200 end")
	})
}

// TestFairness has one client take several downloads at once: none waits for
// another to end.
func TestFairness(t *testing.T) {
	t.Parallel()
	const size = 8 << 20 // some slices of the scheduler's time
	ts := serve(t, false, &Server{Handler: download(size)})
	c := ts.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	c.must(c.fr.WriteWindowUpdate(0, 1<<30))
	for i := range 4 {
		c.headers(uint32(2*i+1), true, c.get())
	}
	for !strings.HasSuffix(c.want("data"), "end") {
	}
	// The first to end leaves no other far behind.
	for i := range 4 {
		if n := c.size(uint32(2*i + 1)); n < size/4 {
			t.Errorf("stream %d got %d bytes while another got all", 2*i+1, n)
		}
	}
}

// TestSlowReader has clients that take their downloads in drops: memory does not
// grow with what they leave.
func TestSlowReader(t *testing.T) { // not parallel: it measures memory
	const size = 1 << 40
	ts := serve(t, true, &Server{Handler: download(size)})
	var nc []*rawClient
	for range 4 {
		c := greetAs(t, dialTLS(t, ts), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		c.must(c.fr.WriteWindowUpdate(0, 1<<20))
		for i := range 16 {
			c.headers(uint32(2*i+1), true, c.get())
		}
		nc = append(nc, c)
	}
	for _, c := range nc {
		c.want("data")
	}
	for _, c := range nc {
		c.alive()
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	// The clients themselves keep what they got, 1 MiB each.
	if m.HeapAlloc > 64<<20 {
		t.Errorf("%d MiB on the heap", m.HeapAlloc>>20)
	}
}

// TestUnreadUpload has handlers that do not read: the client can send a window's
// worth per stream and no more, and other streams go on.
func TestUnreadUpload(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	ts := serve(t, false, &Server{
		Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			if string(ex.Request.Path) == "/stuck" {
				<-stop
			}
			hello(ex)
		}),
		Limits: Limits{StreamWindow: 64 << 10, ConnWindow: 256 << 10},
	})
	c := ts.dial(t)
	stuck := c.encode(":method", "POST", ":scheme", "https", ":authority", "localhost", ":path", "/stuck")
	c.headers(1, false, stuck)
	full := make([]byte, maxFrame)
	for range 4 {
		c.must(c.fr.WriteData(1, false, full))
	}
	c.headers(3, false, c.post())
	sent := 0
	for range 32 { // beyond all windows, so they must be given back
		for range 3 {
			c.must(c.fr.WriteData(3, false, full))
			sent += maxFrame
		}
		waitFor(t, "window", func() bool {
			return windows(c, 3)+64<<10 >= sent+3*maxFrame && windows(c, 0)+256<<10 >= sent+7*maxFrame
		})
	}
	c.must(c.fr.WriteData(3, true, nil))
	c.want("data 3 5 end")
	close(stop)
	c.must(c.fr.WriteData(1, true, nil))
	c.want("data 1 5 end")
}

// windows adds up the window updates that have come for a stream.
func windows(c *rawClient, id uint32) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updates[id]
}

// TestEarlyAnswer answers uploads before they are complete.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	ts := serve(t, false, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) { text(ex, 413, "no") })})
	t.Run("much to come", func(t *testing.T) {
		c := ts.dial(t)
		c.headers(1, false, c.post("content-length", "10000000"))
		c.want("data 1 2 end")
		c.want("rst 1 NO_ERROR")
		// What was on its way is no error.
		c.must(c.fr.WriteData(1, false, make([]byte, 1000)))
		c.headers(1, true, c.encode("x", "y"))
		c.alive()
	})
	t.Run("little to come", func(t *testing.T) {
		c := ts.dial(t)
		c.headers(1, false, c.post("content-length", "10000"))
		c.want("data 1 2 end")
		c.must(c.fr.WriteData(1, true, make([]byte, 10000)))
		c.alive()
		if contains(c.seen, "rst") {
			t.Errorf("reset: %q", c.seen)
		}
	})
	t.Run("windows are not lost", func(t *testing.T) {
		c := ts.dial(t)
		for i := range 300 {
			id := uint32(2*i + 1)
			c.headers(id, false, c.post())
			c.must(c.fr.WriteData(id, true, make([]byte, maxFrame)))
			c.want(fmt.Sprintf("head %d 413", id))
		}
		if n := windows(c, 0); n < 4<<20 {
			t.Errorf("only %d bytes of window came back", n)
		}
	})
}

// TestCancel resets streams, and closes connections, under handlers of all kinds.
func TestCancel(t *testing.T) {
	t.Parallel()
	started := make(chan struct{}, 1)
	done := make(chan error, 1)
	unread := func(ex *exchange.Exchange) error {
		_, err := io.Copy(io.Discard, ex.Request.Body)
		return err
	}
	ts := serve(t, false, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.OnDone(doneFunc(func(_ int64, err error) { done <- err }))
		switch string(ex.Request.Path) {
		case "/wait":
			started <- struct{}{}
			<-ex.Context().Done()
		case "/read":
			started <- struct{}{}
			if unread(ex) == nil {
				t.Error("the body ended")
			}
		case "/write":
			started <- struct{}{}
			ex.Response.Body = &zeros{1 << 40}
		case "/silent":
			b := newChunks()
			ex.SetAborter(aborts{b})
			started <- struct{}{}
			ex.Response.Body = b
		}
		ex.Response.Status, ex.Response.Length = 200, exchange.LengthUnknown
	})})
	for _, path := range []string{"/wait", "/read", "/write", "/silent"} {
		for _, how := range []string{"reset", "close"} {
			t.Run(how+path, func(t *testing.T) {
				c := ts.dial(t)
				c.headers(1, false, c.encode(":method", "POST", ":scheme", "https", ":authority", "localhost", ":path", path))
				<-started
				if how == "reset" {
					c.must(c.fr.WriteRSTStream(1, http2.ErrCodeCancel))
					c.alive()
				} else {
					_ = c.nc.Close()
				}
				select {
				case err := <-done:
					if !errors.Is(err, exchange.ErrClientGone) {
						t.Errorf("done with %v", err)
					}
				case <-time.After(patience):
					t.Fatal("the handler goes on")
				}
			})
		}
	}
}

type aborts struct{ b *chunks }

func (a aborts) Abort(error) { _ = a.b.Close() }

// TestBodyKeepsWhatItHolds checks bytes through small and large chunks with
// reads of odd sizes.
func TestBodyKeepsWhatItHolds(t *testing.T) {
	t.Parallel()
	ts := serve(t, false, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		var got []byte
		buf := make([]byte, 777)
		for {
			n, err := ex.Request.Body.Read(buf[:len(got)%776+1])
			if got = append(got, buf[:n]...); err != nil {
				break
			}
		}
		ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, int64(len(got)), exchange.BytesBody(got)
	})})
	c := ts.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	c.headers(1, false, c.post())
	var sent []byte
	for i := range 60 {
		p := bytes.Repeat([]byte{byte('a' + i%26)}, i*i%1500)
		c.must(c.fr.WriteDataPadded(1, i == 59, p, make([]byte, i%7)))
		sent = append(sent, p...)
	}
	for !strings.HasSuffix(c.want("data 1"), "end") {
	}
	if c.body(1) != string(sent) {
		t.Errorf("%d bytes came back, want %d", len(c.body(1)), len(sent))
	}
}

// TestNoGoroutinesStay looks for goroutines when clients have come and gone.
func TestNoGoroutinesStay(t *testing.T) {
	before := runtime.NumGoroutine()
	s := &Server{Handler: hello}
	for range 20 {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() { s.ServeConn(server, &exchange.Conn{}); close(done) }()
		c := greetAs(t, client)
		for i := range 20 {
			c.headers(uint32(2*i+1), i%2 == 0, c.get())
		}
		c.want("data")
		_ = client.Close()
		<-done
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

// TestLateReader reads from the body of a request that is over, as goroutines of
// libraries do, while its memory serves other requests.
func TestLateReader(t *testing.T) {
	t.Parallel()
	var late sync.WaitGroup
	ts := serve(t, false, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		body, own := ex.Request.Body, string(ex.Request.Fields.Get("x-own"))
		late.Go(func() {
			buf := make([]byte, 12)
			for {
				n, err := body.Read(buf)
				if strings.ReplaceAll(string(buf[:n]), own, "") != "" {
					t.Errorf("request %s read %q, of another request", own, buf[:n])
				}
				if err != nil {
					_ = body.Close()
					break
				}
			}
		})
		text(ex, 200, "hello")
	})})
	c := ts.dial(t)
	for i := range 200 {
		id := uint32(2*i + 1)
		own := fmt.Sprintf("%04d", i)
		c.headers(id, false, c.post("x-own", own))
		c.must(c.fr.WriteData(id, i%2 == 0, []byte(own)))
		c.want(fmt.Sprintf("data %d 5 end", id))
		if i%2 == 1 {
			c.must(c.fr.WriteData(id, true, []byte(own)))
		}
	}
	_ = c.nc.Close()
	late.Wait()
}

// TestPaddingIsGivenBack sends more padding than the windows hold.
func TestPaddingIsGivenBack(t *testing.T) {
	t.Parallel()
	ts := serve(t, false, &Server{Handler: hello, Limits: Limits{StreamWindow: 4 << 10, ConnWindow: 64 << 10}})
	c := ts.dial(t)
	c.headers(1, false, c.post())
	for i := range 2000 {
		sent := (i + 1) * 258
		waitFor(t, "window", func() bool { return windows(c, 1)+4<<10 >= sent && windows(c, 0)+64<<10 >= sent })
		c.must(c.fr.WriteDataPadded(1, false, []byte("xy"), make([]byte, 255)))
	}
	c.must(c.fr.WriteData(1, true, nil))
	c.want("data 1 5 end")
}
