package h2

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// TestConformance sends what RFC 9113 says how to take. want is the event that
// must come; where it is no GOAWAY, the connection must go on.
func TestConformance(t *testing.T) {
	t.Parallel()
	ts := serve(t, false, &Server{Handler: hello})
	const (
		protocol = "goaway 0 PROTOCOL_ERROR"
		size     = "goaway 0 FRAME_SIZE_ERROR"
		flow     = "goaway 0 FLOW_CONTROL_ERROR"
		compress = "goaway 1 COMPRESSION_ERROR"
	)
	frame := func(typ frameType, flags uint8, stream uint32, payload string) string {
		return string(appendFrameHeader(nil, len(payload), typ, flags, stream)) + payload
	}
	set := func(id uint16, value uint32) string {
		return string(appendSettings(nil, setting{id, value}))
	}
	selfDependent := string(binary.BigEndian.AppendUint32(nil, 1)) + "\xff"
	open := func(c *rawClient) { c.headers(1, false, c.post()) }
	for _, tt := range []struct {
		name, want string
		run        func(c *rawClient)
	}{
		// Section 4: frames.
		{"unknown frame type is ignored", "ping ack", func(c *rawClient) { c.raw(frame(0x16, 0xff, 0, "12345678")); c.alive() }},
		{"PRIORITY_UPDATE is ignored", "ping ack", func(c *rawClient) { c.raw(frame(0x10, 0, 0, "\x00\x00\x00\x01u=1")); c.alive() }},
		{"undefined flags are ignored", "ping ack", func(c *rawClient) { c.raw(frame(framePing, 0x16, 0, "12345678")); c.want("ping ack"); c.alive() }},
		{"reserved bit is ignored", "ping ack", func(c *rawClient) { c.raw("\x00\x00\x08\x06\x00\x80\x00\x00\x0012345678") }},
		{"largest DATA frame", "head 1 200", func(c *rawClient) { open(c); c.raw(frame(frameData, flagEndStream, 1, strings.Repeat("x", maxFrame))) }},
		{"DATA beyond MAX_FRAME_SIZE", "goaway 1 FRAME_SIZE_ERROR", func(c *rawClient) { open(c); c.raw(frame(frameData, 1, 1, strings.Repeat("x", maxFrame+1))) }},
		{"HEADERS beyond MAX_FRAME_SIZE", size, func(c *rawClient) { c.raw(frame(frameHeaders, 5, 1, strings.Repeat("x", maxFrame+1))) }},
		{"unknown frame beyond MAX_FRAME_SIZE", size, func(c *rawClient) { c.raw(frame(0x16, 0, 0, strings.Repeat("x", maxFrame+1))) }},

		// Section 4.3: header compression and blocks.
		{"invalid index", compress, func(c *rawClient) { c.headers(1, true, []byte{0xff, 0xff, 0x7f}) }},
		{"index 0", compress, func(c *rawClient) { c.headers(1, true, []byte{0x80}) }},
		{"truncated block", compress, func(c *rawClient) { c.headers(1, true, append(c.get(), 0x40)) }},
		{"table size update at the end", compress, func(c *rawClient) { c.headers(1, true, append(c.get(), 0x20)) }},
		{"table size update too large", compress, func(c *rawClient) { c.headers(1, true, append([]byte{0x3f, 0xe2, 0x1f}, c.get()...)) }},
		{"Huffman string with EOS", compress, func(c *rawClient) { c.headers(1, true, append(c.get(), 0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, 'x')) }},
		{"Huffman padding of more than 7 bits", compress, func(c *rawClient) { c.headers(1, true, append(c.get(), 0x00, 0x82, 0x1f, 0xff, 0x01, 'x')) }},
		{"Huffman padding that is not EOS", compress, func(c *rawClient) { c.headers(1, true, append(c.get(), 0x00, 0x81, 0x18, 0x01, 'x')) }},
		{"integer that overflows", compress, func(c *rawClient) {
			c.headers(1, true, append(c.get(), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))
		}},
		{"table size updates at the front", "head 1 200", func(c *rawClient) {
			c.headers(1, true, append([]byte{0x20, 0x3f, 0xe1, 0x1f}, c.get()...))
		}},
		{"literals of all kinds, new names and old, plain and Huffman", "head 1 200", func(c *rawClient) {
			b := []byte{0x82, 0x87, 0x84, 0x41, 0x01, 'a'} // indexed; :authority added
			for kind, prefix := range map[byte]uint8{0x40: 6, 0x00: 4, 0x10: 4} {
				b = append(b, kind, 0x01, 'x', 0x01, 'y')          // name spelled out
				b = append(b, kind, 0x81, 0xf3, 0x81, 0xf5)        // the same by Huffman
				b = append(b, appendInt(nil, kind, prefix, 15)...) // an indexed name
				b = append(b, 0x01, 'z')
				if kind == 0x40 {
					b = append(b, 0xbe) // what was added last
				}
			}
			c.headers(1, true, b)
		}},
		{"block in three pieces", "head 1 200", func(c *rawClient) {
			b := c.get()
			c.raw(frame(frameHeaders, flagEndStream, 1, string(b[:2])) + frame(frameContinuation, 0, 1, string(b[2:5])) + frame(frameContinuation, flagEndHeaders, 1, string(b[5:])))
		}},
		{"PING inside a block", "goaway 1 PROTOCOL_ERROR", func(c *rawClient) { c.raw(frame(frameHeaders, 1, 1, "\x82") + frame(framePing, 0, 0, "12345678")) }},
		{"unknown frame inside a block", "goaway 1 PROTOCOL_ERROR", func(c *rawClient) { c.raw(frame(frameHeaders, 1, 1, "\x82") + frame(0x16, 0, 0, "")) }},
		{"DATA inside a block", "goaway 1 PROTOCOL_ERROR", func(c *rawClient) { c.raw(frame(frameHeaders, 0, 1, "\x82") + frame(frameData, 0, 1, "")) }},
		{"CONTINUATION of another stream", "goaway 1 PROTOCOL_ERROR", func(c *rawClient) { c.raw(frame(frameHeaders, 1, 1, "\x82") + frame(frameContinuation, 4, 3, "")) }},
		{"CONTINUATION without HEADERS", protocol, func(c *rawClient) { c.raw(frame(frameContinuation, 4, 1, string(c.get()))) }},
		{"CONTINUATION behind a complete block", "goaway 1 PROTOCOL_ERROR", func(c *rawClient) { c.headers(1, true, c.get()); c.raw(frame(frameContinuation, 4, 1, "")) }},
		{"CONTINUATION behind DATA", "goaway 1 PROTOCOL_ERROR", func(c *rawClient) { open(c); c.raw(frame(frameData, 0, 1, "x") + frame(frameContinuation, 4, 1, "")) }},

		// Section 5.1: stream states.
		{"DATA on an idle stream", protocol, func(c *rawClient) { c.raw(frame(frameData, 1, 1, "x")) }},
		{"RST_STREAM on an idle stream", protocol, func(c *rawClient) { c.must(c.fr.WriteRSTStream(1, http2.ErrCodeCancel)) }},
		{"WINDOW_UPDATE on an idle stream", protocol, func(c *rawClient) { c.must(c.fr.WriteWindowUpdate(1, 1)) }},
		{"PRIORITY on an idle stream is fine", "ping ack", func(c *rawClient) { c.raw(frame(framePriority, 0, 3, "\x00\x00\x00\x00\x01")); c.alive() }},
		{"stream 0", protocol, func(c *rawClient) { c.headers(0, true, c.get()) }},
		{"even stream", protocol, func(c *rawClient) { c.headers(2, true, c.get()) }},
		{"DATA on an even stream", protocol, func(c *rawClient) { c.raw(frame(frameData, 0, 2, "x")) }},
		{"stream below one that was used", "goaway 5 PROTOCOL_ERROR", func(c *rawClient) { c.headers(5, true, c.get()); c.headers(3, true, c.get()) }},
		{"DATA after END_STREAM", "rst 1 STREAM_CLOSED", func(c *rawClient) { stall(c); c.headers(1, true, c.get()); c.raw(frame(frameData, 1, 1, "x")) }},
		{"HEADERS after END_STREAM", "rst 1 STREAM_CLOSED", func(c *rawClient) { stall(c); c.headers(1, true, c.get()); c.headers(1, true, c.get()) }},
		{"DATA after RST_STREAM", "rst 1 STREAM_CLOSED", func(c *rawClient) {
			open(c)
			c.must(c.fr.WriteRSTStream(1, http2.ErrCodeCancel))
			c.raw(frame(frameData, 1, 1, "x"))
		}},
		{"HEADERS after RST_STREAM", "goaway 1 STREAM_CLOSED", func(c *rawClient) {
			open(c)
			c.must(c.fr.WriteRSTStream(1, http2.ErrCodeCancel))
			c.headers(1, true, c.get())
		}},
		{"DATA on a closed stream", "goaway 1 STREAM_CLOSED", func(c *rawClient) {
			c.headers(1, true, c.get())
			c.want("data 1 5 end")
			c.raw(frame(frameData, 1, 1, "x"))
		}},
		{"HEADERS on a closed stream", "goaway 1 STREAM_CLOSED", func(c *rawClient) { c.headers(1, true, c.get()); c.want("data 1 5 end"); c.headers(1, true, c.get()) }},
		{"WINDOW_UPDATE on a closed stream is fine", "ping ack", func(c *rawClient) {
			c.headers(1, true, c.get())
			c.want("data 1 5 end")
			c.must(c.fr.WriteWindowUpdate(1, 1))
			c.alive()
		}},
		{"RST_STREAM on a closed stream is fine", "ping ack", func(c *rawClient) {
			c.headers(1, true, c.get())
			c.want("data 1 5 end")
			c.must(c.fr.WriteRSTStream(1, http2.ErrCodeCancel))
			c.alive()
		}},
		{"PRIORITY on a closed stream is fine", "ping ack", func(c *rawClient) {
			c.headers(1, true, c.get())
			c.want("data 1 5 end")
			c.raw(frame(framePriority, 0, 1, "\x00\x00\x00\x00\x01"))
			c.alive()
		}},
		{"HEADERS that depend on themselves", "rst 1 PROTOCOL_ERROR", func(c *rawClient) { c.raw(frame(frameHeaders, 0x25, 1, selfDependent+string(c.get()))) }},
		{"PRIORITY that depends on itself", "rst 1 PROTOCOL_ERROR", func(c *rawClient) { open(c); c.raw(frame(framePriority, 0, 1, selfDependent)) }},
		{"HEADERS with priority and padding", "head 1 200", func(c *rawClient) {
			c.raw(frame(frameHeaders, 0x2d, 1, "\x03\x00\x00\x00\x00\x10"+string(c.get())+"\x00\x00\x00"))
		}},

		// Section 6: what frames may hold.
		{"DATA on stream 0", protocol, func(c *rawClient) { c.raw(frame(frameData, 0, 0, "x")) }},
		{"padded DATA", "head 1 200", func(c *rawClient) { open(c); c.raw(frame(frameData, 9, 1, "\x03x\x00\x00\x00")) }},
		{"DATA of padding only", "head 1 200", func(c *rawClient) { open(c); c.raw(frame(frameData, 9, 1, "\x00")) }},
		{"DATA with more padding than payload", "goaway 1 PROTOCOL_ERROR", func(c *rawClient) { open(c); c.raw(frame(frameData, 9, 1, "\x06xxxxx")) }},
		{"padded DATA without a length", "goaway 1 FRAME_SIZE_ERROR", func(c *rawClient) { open(c); c.raw(frame(frameData, 9, 1, "")) }},
		{"HEADERS with more padding than payload", protocol, func(c *rawClient) { c.raw(frame(frameHeaders, 0xd, 1, "\x09\x82")) }},
		{"padded HEADERS without a length", size, func(c *rawClient) { c.raw(frame(frameHeaders, 0xd, 1, "")) }},
		{"HEADERS too short for its priority", size, func(c *rawClient) { c.raw(frame(frameHeaders, 0x25, 1, "\x00\x00")) }},
		{"PRIORITY on stream 0", protocol, func(c *rawClient) { c.raw(frame(framePriority, 0, 0, "\x00\x00\x00\x03\x01")) }},
		{"PRIORITY of 4 bytes", "rst 1 FRAME_SIZE_ERROR", func(c *rawClient) { open(c); c.raw(frame(framePriority, 0, 1, "\x00\x00\x00\x03")) }},
		{"PRIORITY of 4 bytes on a closed stream", "goaway 1 FRAME_SIZE_ERROR", func(c *rawClient) {
			c.headers(1, true, c.get())
			c.want("data 1 5 end")
			c.raw(frame(framePriority, 0, 1, "\x00\x00\x00\x03"))
		}},
		{"PRIORITY that depends on itself on an idle stream", protocol, func(c *rawClient) { c.raw(frame(framePriority, 0, 1, selfDependent)) }},
		{"RST_STREAM on stream 0", protocol, func(c *rawClient) { c.raw(frame(frameRSTStream, 0, 0, "\x00\x00\x00\x08")) }},
		{"RST_STREAM of 3 bytes", "goaway 1 FRAME_SIZE_ERROR", func(c *rawClient) { open(c); c.raw(frame(frameRSTStream, 0, 1, "\x00\x00\x08")) }},
		{"SETTINGS acknowledgement with payload", size, func(c *rawClient) { c.raw(frame(frameSettings, flagAck, 0, "\x00")) }},
		{"SETTINGS on a stream", protocol, func(c *rawClient) { c.raw(frame(frameSettings, 0, 1, "")) }},
		{"SETTINGS of 3 bytes", size, func(c *rawClient) { c.raw(frame(frameSettings, 0, 0, "\x00\x03\x00")) }},
		{"ENABLE_PUSH of 2", protocol, func(c *rawClient) { c.raw(set(settingEnablePush, 2)) }},
		{"ENABLE_CONNECT_PROTOCOL of 2", protocol, func(c *rawClient) { c.raw(set(settingEnableConnectProtocol, 2)) }},
		{"INITIAL_WINDOW_SIZE too large", flow, func(c *rawClient) { c.raw(set(settingInitialWindowSize, 1<<31)) }},
		{"INITIAL_WINDOW_SIZE that makes a window too large", "goaway 1 FLOW_CONTROL_ERROR", func(c *rawClient) {
			open(c)
			c.must(c.fr.WriteWindowUpdate(1, maxWindow-defaultWindow))
			c.raw(set(settingInitialWindowSize, defaultWindow+1))
		}},
		{"MAX_FRAME_SIZE too small", protocol, func(c *rawClient) { c.raw(set(settingMaxFrameSize, maxFrame-1)) }},
		{"MAX_FRAME_SIZE too large", protocol, func(c *rawClient) { c.raw(set(settingMaxFrameSize, 1<<24)) }},
		{"unknown setting is ignored", "settings ack", func(c *rawClient) { c.raw(set(0xff, 1)) }},
		{"PUSH_PROMISE from a client", protocol, func(c *rawClient) { c.raw(frame(framePushPromise, 4, 1, "\x00\x00\x00\x02"+string(c.get()))) }},
		{"PING on a stream", protocol, func(c *rawClient) { c.raw(frame(framePing, 0, 1, "12345678")) }},
		{"PING of 6 bytes", size, func(c *rawClient) { c.raw(frame(framePing, 0, 0, "123456")) }},
		{"PING acknowledgement is not answered", "settings ack", func(c *rawClient) { c.raw(frame(framePing, flagAck, 0, "12345678")); c.raw(set(0xff, 1)) }},
		{"GOAWAY on a stream", protocol, func(c *rawClient) { c.raw(frame(frameGoAway, 0, 1, "\x00\x00\x00\x00\x00\x00\x00\x00")) }},
		{"GOAWAY of 4 bytes", size, func(c *rawClient) { c.raw(frame(frameGoAway, 0, 0, "\x00\x00\x00\x00")) }},
		{"GOAWAY does not end requests", "head 1 200", func(c *rawClient) {
			c.raw(frame(frameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"))
			c.headers(1, true, c.get())
		}},
		{"WINDOW_UPDATE by 0 on the connection", protocol, func(c *rawClient) { c.raw(frame(frameWindowUpdate, 0, 0, "\x00\x00\x00\x00")) }},
		{"WINDOW_UPDATE by 0 on a stream", "rst 1 PROTOCOL_ERROR", func(c *rawClient) { open(c); c.raw(frame(frameWindowUpdate, 0, 1, "\x00\x00\x00\x00")) }},
		{"WINDOW_UPDATE of 3 bytes", size, func(c *rawClient) { c.raw(frame(frameWindowUpdate, 0, 0, "\x00\x00\x01")) }},
		{"connection window beyond 2^31-1", flow, func(c *rawClient) { c.raw(frame(frameWindowUpdate, 0, 0, "\x7f\xff\xff\xff")) }},
		{"stream window beyond 2^31-1", "rst 1 FLOW_CONTROL_ERROR", func(c *rawClient) { open(c); c.raw(frame(frameWindowUpdate, 0, 1, "\x7f\xff\xff\xff")) }},

		{"GOAWAY with an unknown code is fine", "ping ack", func(c *rawClient) { c.raw(frame(frameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\xff")); c.alive() }},
		{"RST_STREAM with an unknown code is fine", "ping ack", func(c *rawClient) { open(c); c.raw(frame(frameRSTStream, 0, 1, "\x00\x00\x00\xff")); c.alive() }},

		// Section 8: messages.
		{"second HEADERS without END_STREAM", "rst 1 PROTOCOL_ERROR", func(c *rawClient) { open(c); c.headers(1, false, c.encode("x", "y")) }},
		{"trailers", "head 1 200", func(c *rawClient) {
			open(c)
			c.raw(frame(frameData, 0, 1, "x"))
			c.headers(1, true, c.encode("x", "y"))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := ts.dial(t)
			c.seen = nil
			tt.run(c)
			if !contains(c.seen, tt.want) {
				c.want(tt.want)
			}
			if strings.HasPrefix(tt.want, "goaway") {
				c.want("closed")
			} else {
				c.alive()
			}
		})
	}
}

// stall keeps answers from ending, so that their streams stay open.
func stall(c *rawClient) {
	c.must(c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	c.want("settings ack")
}

func contains(seen []string, e string) bool {
	for _, s := range seen {
		if s == e || strings.HasPrefix(s, e+" ") {
			return true
		}
	}
	return false
}
