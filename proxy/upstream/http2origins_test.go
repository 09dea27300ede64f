package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"portway/proxy/exchange"
)

// onHeaders gets the number of the connection and each HEADERS frame.
type onHeaders func(f *http2.Framer, conn int, h *http2.HeadersFrame) error

// listenFrames starts an origin that speaks HTTP/2 frame by frame.
func listenFrames(t *testing.T, settings []http2.Setting, handle onHeaders) *origin {
	t.Helper()
	return listen(t, func(c net.Conn, r *bufio.Reader, n int) { serveFrames(c, r, n, settings, handle) })
}

// serveFrames reads frames until handle returns an error.
func serveFrames(c net.Conn, r *bufio.Reader, n int, settings []http2.Setting, handle onHeaders) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(r, preface); err != nil {
		return
	}
	f := http2.NewFramer(c, r)
	_ = f.WriteSettings(settings...)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = f.WritePing(true, frame.Data)
			}
		case *http2.HeadersFrame:
			if handle(f, n, frame) != nil {
				return
			}
		}
	}
}

// answer2 sends a head, and ends the stream if end.
func answer2(f *http2.Framer, id uint32, end bool, pairs ...string) error {
	var b strings.Builder
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(b.String()), EndHeaders: true, EndStream: end})
}

// What an HTTP/2 origin may do instead of answering.
func TestH2COrigins(t *testing.T) {
	t.Parallel()
	hangUp := errors.New("hang up")
	tests := []struct {
		name   string
		method string // GET
		body   string
		stream bool // the body's length is not known
		handle func(f *http2.Framer, conn int, h *http2.HeadersFrame) error
		status int
		is     error
		text   string
		dials  int32 // 1
	}{
		{name: "trailers only, as gRPC errors are", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			return answer2(f, h.StreamID, true, ":status", "200", "grpc-status", "12")
		}, status: 200},
		{name: "refused once", method: "POST", body: "x", handle: func() func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			n := 0
			return func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
				if n++; n == 1 {
					return f.WriteRSTStream(h.StreamID, http2.ErrCodeRefusedStream)
				}
				return answer2(f, h.StreamID, true, ":status", "204")
			}
		}(), status: 204},
		{name: "refused always", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			return f.WriteRSTStream(h.StreamID, http2.ErrCodeRefusedStream)
		}, is: ErrNotProcessed, text: "did not take the request"},
		{name: "graceful GOAWAY", method: "POST", body: "x", handle: func(f *http2.Framer, conn int, h *http2.HeadersFrame) error {
			if conn == 0 {
				return f.WriteGoAway(0, http2.ErrCodeNo, nil)
			}
			return answer2(f, h.StreamID, true, ":status", "204")
		}, status: 204, dials: 2},
		{name: "connection closed, GET", handle: func(f *http2.Framer, conn int, h *http2.HeadersFrame) error {
			if conn == 0 {
				return hangUp
			}
			return answer2(f, h.StreamID, true, ":status", "204")
		}, status: 204, dials: 2},
		{name: "connection closed, POST", method: "POST", body: "x", handle: func(*http2.Framer, int, *http2.HeadersFrame) error { return hangUp }, text: "broke the connection off"},
		{name: "reset", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			return f.WriteRSTStream(h.StreamID, http2.ErrCodeInternal)
		}, text: "reset the stream (INTERNAL_ERROR)"},
		{name: "protocol error of theirs", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			return f.WriteRSTStream(h.StreamID, http2.ErrCodeProtocol)
		}, text: "reset the stream (PROTOCOL_ERROR)"},
		{name: "no status", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			return answer2(f, h.StreamID, true, "a", "b")
		}, is: ErrProtocol, text: "not HTTP/2"},
		{name: "status 101", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			return answer2(f, h.StreamID, false, ":status", "101")
		}, is: ErrProtocol},
		{name: "response splitting", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			return answer2(f, h.StreamID, true, ":status", "200", "a", "b\r\nSet-Cookie: c=d")
		}, is: ErrProtocol},
		{name: "an upper-case name", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			return answer2(f, h.StreamID, true, ":status", "200", "A", "b")
		}, is: ErrProtocol},
		{name: "huge head", handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			pairs := []string{":status", "200"}
			for range 9 {
				pairs = append(pairs, "a", strings.Repeat("x", 1500))
			}
			for range 8 {
				pairs = append(pairs, pairs[2:]...)
				if len(pairs) > 200 {
					break
				}
			}
			return answer2(f, h.StreamID, true, pairs...)
		}, is: ErrProtocol},
		{name: "refused with a body half sent", method: "POST", body: strings.Repeat("x", 100), stream: true, handle: func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			if _, err := f.ReadFrame(); err != nil {
				return err
			}
			return f.WriteRSTStream(h.StreamID, http2.ErrCodeRefusedStream)
		}, text: "did not take the request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := listenFrames(t, nil, tt.handle)
			p := o.pool(t, Config{Scheme: "h2c"})
			ex := newExchange("GET", "/")
			if tt.method != "" {
				ex = withBody(newExchange(tt.method, "/"), tt.body)
			}
			if tt.stream {
				ex.Request.Length = exchange.LengthUnknown
			}
			res := run(p, ex)
			if tt.text != "" || tt.is != nil {
				wantErr(t, res.err, tt.is, tt.text)
				if tt.is == nil && errors.Is(res.err, ErrNotProcessed) {
					t.Errorf("%v says that it can be sent again", res.err)
				}
			} else if res.status != tt.status || res.err != nil {
				t.Errorf("%+v", res)
			}
			if n := o.accepted.Load(); n != max(1, tt.dials) {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestH2CCutOffBody(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*http2.Framer, uint32) error{
		"reset":  func(f *http2.Framer, id uint32) error { return f.WriteRSTStream(id, http2.ErrCodeInternal) },
		"closed": func(*http2.Framer, uint32) error { return io.EOF },
		"short":  func(f *http2.Framer, id uint32) error { return f.WriteData(id, true, []byte("l")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := listenFrames(t, nil, func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
				_ = answer2(f, h.StreamID, false, ":status", "200", "content-length", "5")
				_ = f.WriteData(h.StreamID, false, []byte("hel"))
				return end(f, h.StreamID)
			}).pool(t, Config{Scheme: "h2c"})
			res := run(p, newExchange("GET", "/"))
			wantErr(t, errors.Join(res.err, res.bodyErr), io.ErrUnexpectedEOF, "")
		})
	}
}

// Before a request is sent, it is known whether the origin speaks HTTP/2.
func TestH2CToOthers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		handle func(c net.Conn, r *bufio.Reader)
		text   string
	}{
		{"HTTP/1.1", func(c net.Conn, r *bufio.Reader) {
			say(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad")
			_, _ = io.Copy(io.Discard, r)
		}, "it answered in HTTP/1.1; set portway.scheme: http"},
		{"closed", func(net.Conn, *bufio.Reader) {}, "it closed the connection at once; does it speak HTTP/2"},
		{"silent", func(_ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }, "no answer within 200ms; does it speak HTTP/2"},
		{"another protocol", func(c net.Conn, r *bufio.Reader) {
			say(c, "220 mail.example ESMTP\r\n")
			_, _ = io.Copy(io.Discard, r)
		}, "does it speak HTTP/2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) { tt.handle(c, r) })
			p := o.pool(t, Config{Scheme: "h2c", DialTimeout: 200 * time.Millisecond})
			err := run(p, withBody(newExchange("POST", "/"), "x")).err
			wantErr(t, err, ErrDial, "connect by HTTP/2 to "+p.name+": ")
			wantErr(t, err, ErrDial, tt.text)
			eventually(t, "the end of the connection", func() bool { return p.Stats().Open == 0 })
		})
	}
}

// More requests than an origin allows streams: further connections, or with a
// limit on these, waiting.
func TestH2CMaxStreams(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 2} {
		var busy, most atomic.Int32
		settings := []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 3}}
		var mu sync.Mutex
		o := listenFrames(t, settings, func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			n := busy.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			id := h.StreamID
			time.AfterFunc(time.Millisecond, func() {
				busy.Add(-1)
				mu.Lock()
				defer mu.Unlock()
				_ = answer2(f, id, true, ":status", "204")
			})
			return nil
		})
		p := o.pool(t, Config{Scheme: "h2c", MaxConns: limit})
		if res := run(p, newExchange("GET", "/")); res.status != 204 {
			t.Fatalf("%+v", res)
		}
		var wg sync.WaitGroup
		for range 60 {
			wg.Go(func() {
				if res := run(p, newExchange("GET", "/")); res.err != nil || res.status != 204 {
					t.Errorf("%+v", res)
				}
			})
		}
		wg.Wait()
		if n := int(o.accepted.Load()); limit > 0 && n > limit || limit == 0 && n < 4 {
			t.Errorf("limit %d: %d connections", limit, n)
		}
		if n := int(most.Load()); limit > 0 && n > 3*limit {
			t.Errorf("limit %d: %d streams at once", limit, n)
		}
		if s := p.Stats(); s.Busy != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// Trailers of requests are not announced, since nobody knows them before.
func TestH2CRequestTrailers(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	dec := hpack.NewDecoder(4096, nil)
	p := listenFrames(t, nil, func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
		fields, err := dec.DecodeFull(h.HeaderBlockFragment())
		if err != nil {
			return err
		}
		last := fields[len(fields)-1]
		got <- last.Name + "=" + last.Value
		if h.StreamEnded() {
			return answer2(f, h.StreamID, true, ":status", "204")
		}
		return nil
	}).pool(t, Config{Scheme: "h2c"})
	ex := withBody(newExchange("POST", "/"), "hello")
	ex.Request.Length = exchange.LengthUnknown
	ex.Request.Fields.AddString("A", "b")
	ex.Request.Trailers.AddString("Sum", "7")
	if res := run(p, ex); res.status != 204 {
		t.Error(res)
	}
	if s := <-got + " " + <-got; s != "a=b sum=7" {
		t.Error(s)
	}
	ex = withBody(newExchange("POST", "/"), "hello")
	ex.Request.Length = exchange.LengthUnknown
	ex.Request.Trailers.AddString("Content-Length", "7")
	wantErr(t, run(p, ex).err, ErrInvalid, "belongs to the connection")
}
