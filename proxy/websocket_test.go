package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"portway/internal/wstest"
)

// wsRow is a WebSocket and what its ends do. Afterwards both directions must have
// ended cleanly, with the same bytes on both sides.
type wsRow struct {
	name        string
	ask, answer http.Header    // beside what every handshake has
	early       []wstest.Frame // in one write with the request
	late        []wstest.Frame // in one write with the origin's 101
	client      func(c *wstest.End)
	origin      func(o *wstest.End) // nil: echo
}

// largeMessage is 16 MiB; the race detector makes every byte dear.
var largeMessage = map[bool]int{false: 16 << 20, true: 2 << 20}[raceDetector]

var wsKey = [4]byte{1, 2, 3, 250}

// wsRows is what RFC 6455 allows, and some of what it does not: frames are none of
// Portway's business.
func wsRows() (rows []wsRow) {
	add := func(name string, client, origin func(e *wstest.End)) {
		rows = append(rows, wsRow{name: name, client: client, origin: origin})
	}
	there := func(frames ...wstest.Frame) func(*wstest.End) { // and back
		return func(c *wstest.End) {
			var sending sync.WaitGroup
			sending.Go(func() {
				for _, f := range frames {
					c.Send(f)
				}
			})
			for _, f := range frames {
				if f.Opcode == wstest.Ping {
					f.Opcode = wstest.Pong
				}
				c.Expect(f)
			}
			sending.Wait()
		}
	}

	// Messages, section 5.6, at the borders of the three forms of lengths.
	for _, n := range []int{0, 1, 2, 125, 126, 127, 1000, 65535, 65536, 65537, 1 << 20, largeMessage} {
		add(fmt.Sprintf("text of %d bytes", n), there(wstest.Frame{Opcode: wstest.Text, Payload: wstest.Payload(n, true)}), nil)
		add(fmt.Sprintf("binary of %d bytes", n), there(wstest.Frame{Opcode: wstest.Binary, Payload: wstest.Payload(n, false)}), nil)
	}
	add("text that is not UTF-8", there(wstest.Frame{Opcode: wstest.Text, Payload: []byte("\xff\xfe\x80")}), nil)
	var many []wstest.Frame
	for i := range 2000 {
		many = append(many, wstest.Frame{Opcode: wstest.Binary, Payload: wstest.Payload(i%300, false)})
	}
	add("2,000 small messages", there(many...), nil)

	// Fragments, section 5.4, with control frames in between, section 5.5.
	fragments := func(n, size int, control bool) (list []wstest.Frame) {
		for i := range n {
			f := wstest.Frame{More: i < n-1, Payload: wstest.Payload(size, false)}
			if i == 0 {
				f.Opcode = wstest.Binary
			}
			list = append(list, f)
			if control && i < n-1 {
				list = append(list, wstest.Frame{Opcode: []byte{wstest.Ping, wstest.Pong}[i%2], Payload: wstest.Payload(i%126, false)})
			}
		}
		return list
	}
	add("2 fragments", there(fragments(2, 10, false)...), nil)
	add("fragments of nothing", there(fragments(100, 0, false)...), nil)
	add("3,000 fragments of 1 byte", there(fragments(3000, 1, false)...), nil)
	add("16 fragments of 64 KiB", there(fragments(16, 1<<16, false)...), nil)
	add("500 fragments with control frames in between", there(fragments(500, 700, true)...), nil)
	add("pings of 0 to 125 bytes", there(func() (list []wstest.Frame) {
		for n := range 126 {
			list = append(list, wstest.Frame{Opcode: wstest.Ping, Payload: wstest.Payload(n, false)})
		}
		return list
	}()...), nil)
	add("pongs that nobody asked for", there(wstest.Frame{Opcode: wstest.Pong}, wstest.Frame{Opcode: wstest.Pong, Payload: []byte("x")}), nil)
	add("pings from the origin", func(c *wstest.End) { c.Echo() }, there(wstest.Frame{Opcode: wstest.Ping, Payload: []byte("alive?")}))

	// Masks, section 5.3: sent as they are, also where they are wrong.
	add("unmasked by the client", func(c *wstest.End) {
		c.Mask = false
		there(wstest.Frame{Opcode: wstest.Text, Payload: []byte("bare")})(c)
	}, nil)
	add("masked by the origin", func(c *wstest.End) { c.Echo() }, func(o *wstest.End) {
		o.Mask = true
		there(wstest.Frame{Opcode: wstest.Text, Payload: []byte("dressed")})(o)
	})
	add("masked with zeros", func(c *wstest.End) {
		f := wstest.Frame{Opcode: wstest.Text, Masked: true, Payload: []byte("zeros")}
		c.SendRaw(f.Append(nil))
		c.Expect(f)
	}, nil)

	// Reserved bits and opcodes, which extensions use, section 5.2.
	for rsv := range byte(8) {
		add(fmt.Sprintf("reserved bits %03b", rsv), there(wstest.Frame{RSV: rsv, Opcode: wstest.Text, Payload: []byte("compressed?")}), nil)
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		add(fmt.Sprintf("reserved opcode %#x", opcode), there(wstest.Frame{Opcode: opcode, Payload: []byte("future")}), nil)
	}
	add("control frame that is too long", there(wstest.Frame{Opcode: wstest.Ping, Payload: wstest.Payload(1000, false)}), nil)
	add("no frames at all", there(), nil)
	add("bytes that are no frames", func(c *wstest.End) { c.SendRaw(wstest.Payload(100000, false)) }, func(*wstest.End) {})
	add("byte by byte", func(c *wstest.End) {
		f := wstest.Frame{Opcode: wstest.Text, Payload: wstest.Payload(200, true)}
		for _, b := range c.Dress(f).Append(nil) {
			c.SendRaw([]byte{b})
		}
		c.Expect(f)
	}, func(o *wstest.End) {
		f := o.Next()
		f.Masked = false
		for _, b := range f.Append(nil) {
			o.SendRaw([]byte{b})
		}
	})

	// The end, section 7: whoever begins, with every kind of code.
	for _, code := range []uint16{0, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999, 1005, 1006, 1015, 999, 65535} {
		for _, reason := range []string{"", "good-bye", strings.Repeat("r", 123)} {
			if code == 0 && reason != "" {
				continue
			}
			f := wstest.CloseFrame(code, reason)
			begins := func(e *wstest.End) { e.Send(f); e.Expect(f) }
			answers := func(e *wstest.End) { e.Expect(f); e.Send(f) }
			add(fmt.Sprintf("client closes with %d and %d bytes", code, len(reason)), begins, answers)
			add(fmt.Sprintf("origin closes with %d and %d bytes", code, len(reason)), answers, begins)
		}
	}
	bye := wstest.CloseFrame(1000, "")
	add("both close at once", func(c *wstest.End) { c.Send(bye); c.Expect(bye) }, func(o *wstest.End) { o.Send(bye); o.Expect(bye) })
	add("close without an answer", func(c *wstest.End) { c.Send(bye) }, func(*wstest.End) {})
	add("messages up to the close", func(c *wstest.End) {
		f := wstest.Frame{Opcode: wstest.Binary, Payload: wstest.Payload(300000, false)}
		c.Send(f, f, bye)
	}, func(o *wstest.End) {
		o.Next()
		o.Next()
		o.Expect(bye)
		o.Send(bye)
	})

	// One direction ends, the other goes on.
	last := wstest.Frame{Opcode: wstest.Binary, Payload: wstest.Payload(1<<20, false)}
	half := func(e *wstest.End) {
		if err := e.CloseWrite(); err != nil {
			panic(err)
		}
		e.Expect(last)
		e.Expect(last)
	}
	whole := func(e *wstest.End) { e.ExpectEnd(); e.Send(last); e.Send(last) }
	add("client ends, origin goes on", half, whole)
	add("origin ends, client goes on", whole, half)

	// Frames right behind the handshake, and what the handshake negotiates.
	word := func(s string) wstest.Frame { return wstest.Frame{Opcode: wstest.Text, Payload: []byte(s)} }
	masked := word("early")
	masked.Masked, masked.Key = true, wsKey
	large := wstest.Frame{Opcode: wstest.Binary, Payload: wstest.Payload(30000, false)}
	rows = append(rows,
		wsRow{name: "frame in one packet with the request", early: []wstest.Frame{masked}, client: func(c *wstest.End) { c.Expect(word("early")) }},
		wsRow{name: "large frame in one packet with the request", early: []wstest.Frame{large}, client: func(c *wstest.End) { c.Expect(large) }},
		wsRow{name: "frame in one packet with the 101", late: []wstest.Frame{word("late"), word("later")}, client: func(c *wstest.End) { c.Expect(word("late")); c.Expect(word("later")) }},
		wsRow{name: "large frame in one packet with the 101", late: []wstest.Frame{large}, client: func(c *wstest.End) { c.Expect(large) }},
		wsRow{
			name: "both, and a close", early: []wstest.Frame{masked}, late: []wstest.Frame{word("late"), bye},
			client: func(c *wstest.End) { c.Expect(word("late")); c.Expect(bye); c.Send(bye) },
			origin: func(o *wstest.End) { o.Expect(word("early")); o.Expect(bye) },
		},
		negotiated("sub-protocol", http.Header{"Sec-Websocket-Protocol": {"chat.v2, chat"}}, http.Header{"Sec-Websocket-Protocol": {"chat"}}),
		negotiated("sub-protocol in two lines", http.Header{"Sec-Websocket-Protocol": {"chat.v2", "chat"}}, http.Header{"Sec-Websocket-Protocol": {"chat.v2"}}),
		negotiated("extension", http.Header{"Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits; server_no_context_takeover"}},
			http.Header{"Sec-Websocket-Extensions": {`permessage-deflate; server_no_context_takeover; client_max_window_bits="12"`}}),
		negotiated("fields of the application", http.Header{"Origin": {"https://ws.test"}, "Cookie": {"session=1"}, "Authorization": {"Bearer x"}},
			http.Header{"Set-Cookie": {"a=1", "b=2"}, "X-App": {"yes"}}),
	)
	return rows
}

// negotiated wants the fields of a handshake to arrive as they were sent.
func negotiated(name string, ask, answer http.Header) wsRow {
	same := func(e *wstest.End, want http.Header) {
		for field, values := range want {
			if got := e.Header[field]; strings.Join(got, "|") != strings.Join(values, "|") {
				e.Errorf("%s arrived as %q, want %q", field, got, values)
			}
		}
	}
	deflated := wstest.Frame{RSV: 4, Opcode: wstest.Text, Payload: []byte("\xf2\x48\xcd\xc9\xc9\x07\x00")} // section 7.2.3.1 of RFC 7692
	return wsRow{
		name: name, ask: ask, answer: answer,
		client: func(c *wstest.End) { same(c, answer); c.Send(deflated); c.Expect(deflated) },
		origin: func(o *wstest.End) { same(o, ask); o.Echo() },
	}
}

func TestWebSocketTable(t *testing.T) {
	t.Parallel()
	plain, byTLS := serveWebSockets(t), serveWebSocketsByTLS(t)
	rows := wsRows()
	for _, front := range wsFronts {
		t.Run(front.name, func(t *testing.T) { t.Parallel(); plain.table(t, front, rows) })
		if front.tls {
			t.Run(front.name+" to an origin over TLS", func(t *testing.T) { t.Parallel(); byTLS.table(t, front, rows) })
		}
	}
	t.Logf("FIGURES WebSocket: %d cases over HTTP/1.1, with TLS, over HTTP/2, and the latter two also to an origin over TLS", len(rows))
}

func (s *wsServer) table(t *testing.T, front wsFront, rows []wsRow) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			client, origin := s.pair(t, front, row)
			if row.origin == nil {
				row.origin = (*wstest.End).Echo
			}
			var wg sync.WaitGroup
			wg.Go(func() { row.origin(origin); origin.Finish() })
			row.client(client)
			client.Finish()
			wg.Wait()
			if err := wstest.Same(client, origin); err != nil {
				t.Error(err)
			}
		})
	}
}
