package h2

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"portway/proxy/exchange"
)

// TestFloods sends frames that cost us and serve nobody, as fast as it can. Each
// must end in ENHANCE_YOUR_CALM.
func TestFloods(t *testing.T) {
	t.Parallel()
	var handlers atomic.Int64
	ts := serve(t, false, &Server{
		Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			handlers.Add(1)
			defer handlers.Add(-1)
			hello(ex)
		}),
		Limits: Limits{Abuse: 200},
	})
	frame := func(typ frameType, flags uint8, stream uint32, payload string) string {
		return string(appendFrameHeader(nil, len(payload), typ, flags, stream)) + payload
	}
	open := func(c *rawClient) { c.headers(1, false, c.post()) }
	id := func(i int) uint32 { return uint32(2*i + 1) }
	for _, tt := range []struct {
		name  string
		first func(c *rawClient)
		next  func(c *rawClient, i int) string
	}{
		{"rapid reset (CVE-2023-44487)", nil, func(c *rawClient, i int) string {
			block := string(c.get())
			return frame(frameHeaders, 5, id(i), block) + frame(frameRSTStream, 0, id(i), "\x00\x00\x00\x08")
		}},
		{"resets provoked from us (CVE-2025-8671)", stall, func(c *rawClient, i int) string {
			return frame(frameHeaders, 5, id(i), string(c.get())) + frame(frameWindowUpdate, 0, id(i), "\x00\x00\x00\x00")
		}},
		{"pings (CVE-2019-9512)", nil, func(*rawClient, int) string { return frame(framePing, 0, 0, "12345678") }},
		{"ping acknowledgements", nil, func(*rawClient, int) string { return frame(framePing, flagAck, 0, "12345678") }},
		{"settings (CVE-2019-9515)", nil, func(*rawClient, int) string { return frame(frameSettings, 0, 0, "") }},
		{"settings acknowledgements", nil, func(*rawClient, int) string { return frame(frameSettings, flagAck, 0, "") }},
		{"empty DATA (CVE-2019-9518)", open, func(*rawClient, int) string { return frame(frameData, 0, 1, "") }},
		{"DATA of padding", open, func(*rawClient, int) string { return frame(frameData, flagPadded, 1, "\x02\x00\x00") }},
		{"priorities (CVE-2019-9513)", nil, func(_ *rawClient, i int) string {
			return frame(framePriority, 0, 1, string(binary.BigEndian.AppendUint32(nil, uint32(3+i)))+"\x10")
		}},
		{"window updates", nil, func(*rawClient, int) string { return frame(frameWindowUpdate, 0, 0, "\x00\x00\x00\x01") }},
		{
			"window updates of a closed stream", func(c *rawClient) { c.headers(1, true, c.get()); c.want("data 1 5 end") },
			func(*rawClient, int) string { return frame(frameWindowUpdate, 0, 1, "\x00\x00\x00\x01") },
		},
		{
			"resets of a closed stream", func(c *rawClient) { c.headers(1, true, c.get()); c.want("data 1 5 end") },
			func(*rawClient, int) string { return frame(frameRSTStream, 0, 1, "\x00\x00\x00\x08") },
		},
		{"unknown frames", nil, func(*rawClient, int) string { return frame(0x77, 0, 0, "") }},
		{"GOAWAYs", nil, func(*rawClient, int) string { return frame(frameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00") }},
		{"malformed requests", nil, func(c *rawClient, i int) string { return frame(frameHeaders, 5, id(i), string(c.get("X", "y"))) }},
		{"requests that are refused", nil, func(c *rawClient, i int) string { return frame(frameHeaders, 5, id(i), string(c.get("expect", "x"))) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ts.dial(t)
			if tt.first != nil {
				tt.first(c)
			}
			go func() {
				for i := range 1000 {
					if _, err := io.WriteString(c.nc, tt.next(c, i)); err != nil {
						return
					}
				}
			}()
			for {
				e := c.next()
				if strings.HasSuffix(e, "ENHANCE_YOUR_CALM") {
					break
				}
				if e == "closed" {
					t.Fatalf("closed without a word; events: %q", c.seen)
				}
			}
			c.want("closed")
		})
	}
	waitFor(t, "handlers to end", func() bool { return handlers.Load() == 0 })
}

// TestUsefulTrafficPaysForPings has a client measure time by pings while it gets
// content, as gRPC does, and cancel old requests, as gRPC does too: no flood.
func TestUsefulTrafficPaysForPings(t *testing.T) {
	t.Parallel()
	ts := serve(t, false, &Server{Handler: hello, Limits: Limits{Abuse: 50}})
	c := ts.dial(t)
	for i := range 500 {
		id := uint32(2*i + 1)
		c.headers(id, true, c.get())
		c.want(fmt.Sprintf("data %d 5 end", id))
		c.must(c.fr.WritePing(false, [8]byte{}))
		c.must(c.fr.WriteWindowUpdate(0, 5))
		c.want("ping ack")
	}
}

// TestHeaderFloods sends header blocks that are too much in one way or another.
func TestHeaderFloods(t *testing.T) { // not parallel: it measures memory
	ts := serve(t, false, &Server{Handler: hello})
	piece := func(flags uint8, typ frameType, payload string) string {
		return string(appendFrameHeader(nil, len(payload), typ, flags, 1)) + payload
	}
	for _, tt := range []struct {
		name, want string
		run        func(c *rawClient)
	}{
		{"CONTINUATION without end (CVE-2024-27316)", "goaway 1 ENHANCE_YOUR_CALM", func(c *rawClient) {
			c.raw(piece(flagEndStream, frameHeaders, string(c.get())))
			for range 200 {
				c.raw(piece(0, frameContinuation, string(c.encode("x", strings.Repeat("y", 1000)))))
			}
		}},
		{"large CONTINUATIONs", "goaway 1 ENHANCE_YOUR_CALM", func(c *rawClient) {
			c.raw(piece(flagEndStream, frameHeaders, string(c.get())))
			for range 20 {
				c.raw(piece(0, frameContinuation, strings.Repeat("\x82", maxFrame)))
			}
		}},
		{"tiny CONTINUATIONs", "goaway 1 ENHANCE_YOUR_CALM", func(c *rawClient) {
			c.raw(piece(flagEndStream, frameHeaders, string(c.get())))
			for range 200 {
				c.raw(piece(0, frameContinuation, "\x82"))
			}
		}},
		{"empty CONTINUATIONs", "goaway 1 ENHANCE_YOUR_CALM", func(c *rawClient) {
			c.raw(piece(flagEndStream, frameHeaders, string(c.get())))
			for range 200 {
				c.raw(piece(0, frameContinuation, ""))
			}
		}},
		{"empty pieces in many blocks", "goaway", func(c *rawClient) {
			c.headers(1, false, c.post())
			for i := range 10 {
				id := uint32(2*i + 1)
				c.raw(string(appendFrameHeader(nil, 0, frameHeaders, flagEndStream, id)))
				for range 30 {
					c.raw(string(appendFrameHeader(nil, 0, frameContinuation, 0, id)))
				}
				c.raw(string(appendFrameHeader(nil, 0, frameContinuation, flagEndHeaders, id)))
			}
		}},
		{"a table entry named thousands of times (HPACK bomb, CVE-2016-6581)", "head 1 431", func(c *rawClient) {
			block := string(c.get()) + string(c.encode("x", strings.Repeat("y", 3800)))
			c.raw(piece(flagEndStream|flagEndHeaders, frameHeaders, block+strings.Repeat("\xbe", 16000-len(block))))
		}},
		{"a length that is not there", "goaway 1 COMPRESSION_ERROR", func(c *rawClient) {
			c.raw(piece(5, frameHeaders, "\x00\x01x\x7f\xff\xff\xff\xff\x07"))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c := ts.dial(t)
			tt.run(c)
			c.want(tt.want)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}

// TestConcurrentStreams opens one more stream than allowed, and another when one
// is through.
func TestConcurrentStreams(t *testing.T) {
	t.Parallel()
	ts := serve(t, false, &Server{Handler: hello})
	c := ts.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	for i := range 251 {
		c.headers(uint32(2*i+1), true, c.get())
	}
	c.want("rst 501 REFUSED_STREAM")
	c.must(c.fr.WriteWindowUpdate(1, 5))
	c.want("data 1 5 end")
	c.headers(503, true, c.get())
	c.want("head 503 200")
}

// TestHandlersOfResetStreamsCount has handlers that do not notice that their
// streams were reset: their number stays bounded all the same.
func TestHandlersOfResetStreamsCount(t *testing.T) {
	t.Parallel()
	var handlers, most atomic.Int64
	stop := make(chan struct{})
	ts := serve(t, false, &Server{
		Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			n := handlers.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-stop
			handlers.Add(-1)
			hello(ex)
		}),
		Limits: Limits{Streams: 10, Abuse: 1 << 20},
	})
	c := ts.dial(t)
	for i := range 200 {
		c.headers(uint32(2*i+1), true, c.get())
		if i%5 == 4 {
			c.alive() // so that each is started
		}
		c.must(c.fr.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel))
	}
	c.alive()
	waitFor(t, "20 handlers", func() bool { return most.Load() >= 20 })
	close(stop)
	waitFor(t, "handlers to end", func() bool { return handlers.Load() == 0 })
	if most.Load() != 20 {
		t.Errorf("%d handlers at once, want 20", most.Load())
	}
	c.headers(401, true, c.get())
	c.want("data 401 5 end")
}

// TestReceiveWindows sends more than the windows allow.
func TestReceiveWindows(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	ts := serve(t, false, &Server{
		Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) { <-stop; ex.Response.Status = 204 }),
		Limits:  Limits{StreamWindow: 40 << 10, ConnWindow: 100 << 10},
	})
	defer close(stop)
	full := make([]byte, maxFrame)
	t.Run("of a stream", func(t *testing.T) {
		c := ts.dial(t)
		c.headers(1, false, c.post())
		for range 3 {
			_ = c.fr.WriteData(1, false, full)
		}
		c.want("rst 1 FLOW_CONTROL_ERROR")
		c.alive()
	})
	t.Run("of the connection", func(t *testing.T) {
		c := ts.dial(t)
		for i := range 4 {
			c.headers(uint32(2*i+1), false, c.post())
			for range 2 {
				_ = c.fr.WriteData(uint32(2*i+1), false, full)
			}
		}
		c.want("goaway 7 FLOW_CONTROL_ERROR")
	})
}

// TestUnreadAnswers has a client that asks and asks and reads nothing: memory
// stays bounded, and the connection ends.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	ts := serve(t, false, &Server{
		Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			ex.Response.Status = 200
			ex.Response.Fields.AddString("x", strings.Repeat("y", 30<<10))
		}),
		Limits: Limits{Abuse: 1 << 20},
	})
	nc, err := net.Dial("tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_, _ = io.WriteString(nc, preface+string(appendSettings(nil)))
	blocks := &rawClient{t: t}
	blocks.enc = hpack.NewEncoder(&blocks.block)
	_ = nc.SetWriteDeadline(time.Now().Add(2 * time.Second))
	for i := range 100_000 {
		b := blocks.get()
		if _, err := nc.Write(append(appendFrameHeader(nil, len(b), frameHeaders, 5, uint32(2*i+1)), b...)); err != nil {
			break
		}
	}
	for _, c := range ts.conns.All(nil) {
		c.mu.Lock()
		if n := c.queued(); n > tooMuch+enough {
			t.Errorf("%d bytes queued", n)
		}
		c.mu.Unlock()
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
