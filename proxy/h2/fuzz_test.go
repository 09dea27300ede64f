package h2

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"portway/proxy/exchange"
)

// FuzzFrames sends whatever comes after a valid greeting. The connection must
// come to its end, with everybody who works for it, and without a panic.
func FuzzFrames(f *testing.F) {
	block := func(fields ...string) []byte {
		var b bytes.Buffer
		enc := hpack.NewEncoder(&b)
		for i := 0; i < len(fields); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return b.Bytes()
	}
	get := block(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/")
	post := block(":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/", "content-length", "5")
	tunnel := block(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "/")
	frame := func(typ frameType, flags uint8, stream uint32, payload []byte) []byte {
		return append(appendFrameHeader(nil, len(payload), typ, flags, stream), payload...)
	}
	for _, seed := range [][][]byte{
		{frame(frameHeaders, 5, 1, get), frame(frameHeaders, 5, 3, get)},
		{frame(frameHeaders, 4, 1, post), frame(frameData, 1, 1, []byte("hello"))},
		{frame(frameHeaders, 4, 1, post), frame(frameData, 9, 1, []byte("\x03hello\x00\x00\x00"))},
		{frame(frameHeaders, 4, 1, post), frame(frameData, 0, 1, []byte("hello")), frame(frameHeaders, 5, 1, block("x", "y"))},
		{frame(frameHeaders, 1, 1, get[:3]), frame(frameContinuation, 4, 1, get[3:])},
		{frame(frameHeaders, 0x2d, 1, append([]byte("\x01\x00\x00\x00\x00\x10"), append(get, 0)...))},
		{frame(frameHeaders, 4, 1, tunnel), frame(frameData, 0, 1, []byte("x")), frame(frameData, 1, 1, nil)},
		{frame(frameHeaders, 5, 1, get), frame(frameRSTStream, 0, 1, []byte{0, 0, 0, 8}), frame(frameWindowUpdate, 0, 1, []byte{0, 0, 0, 8})},
		{frame(frameSettings, 0, 0, []byte{0, 4, 0, 0, 0, 0}), frame(frameHeaders, 5, 1, get), frame(frameWindowUpdate, 0, 1, []byte{0, 0, 0, 8})},
		{frame(framePing, 0, 0, make([]byte, 8)), frame(framePriority, 0, 1, make([]byte, 5)), frame(frameGoAway, 0, 0, make([]byte, 8))},
		{frame(frameSettings, 0, 0, []byte{0, 1, 0, 0, 0, 0}), frame(frameHeaders, 5, 1, get), frame(0x20, 0, 0, nil)},
	} {
		f.Add(bytes.Join(seed, nil))
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		var log lockedBuffer
		s := &Server{
			Handler: exchange.HandlerFunc(fuzzed),
			Logger:  slog.New(slog.NewTextHandler(&log, nil)),
			Limits:  Limits{Streams: 5, Abuse: 20, ConnWindow: 1 << 16, StreamWindow: 1 << 12},
		}
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() { s.ServeConn(server, &exchange.Conn{}); close(done) }()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		go func() {
			_, _ = client.Write([]byte(preface + string(appendSettings(nil))))
			_, _ = client.Write(frames)
			_ = client.Close()
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			buf := make([]byte, 1<<20)
			t.Fatalf("the connection does not end; goroutines:\n%s", buf[:runtime.Stack(buf, true)])
		}
		if strings.Contains(log.String(), "panic") {
			t.Fatal(log.String())
		}
	})
}

// fuzzed reads a little, answers a little, or opens a tunnel.
func fuzzed(ex *exchange.Exchange) {
	p := &ex.Response
	if ex.Request.Upgrade != nil {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(far, far); _ = far.Close() }()
		ex.SetAborter(aborter{near})
		p.Status, p.Tunnel = 101, pipeTunnel{near}
		return
	}
	if ex.Request.Body != nil {
		_, _ = ex.Request.Body.Read(make([]byte, 3))
	}
	text(ex, 200, "hello")
	p.Trailers.AddString("x", "y")
}

type pipeTunnel struct{ net.Conn }

func (p pipeTunnel) CloseWrite() error { return p.Close() }

// FuzzRequest feeds header lists. What is taken must be read by net/http in the
// same way, when it is written as HTTP/1.1.
func FuzzRequest(f *testing.F) {
	for _, list := range []string{
		":method\nGET\n:scheme\nhttps\n:authority\na\n:path\n/",
		":method\nGET\n:scheme\nhttps\n:path\n/?x=y\nhost\na.example:8443\nx\ty\nz",
		":method\nOPTIONS\n:scheme\nhttp\n:authority\n[::1]\n:path\n*\ncookie\na=b\ncookie\nc=d",
		":method\nPOST\n:scheme\nhttps\n:authority\na\n:path\n/%41\ncontent-length\n0\nte\ntrailers",
		":method\nCONNECT\n:protocol\nwebsocket\n:scheme\nhttps\n:authority\na\n:path\n/chat",
		":method\nGET\n:scheme\nhttps\n:authority\na\n:path\n/\r\nX: y\nx\n\x00\n",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		c := newConn(&Server{}, nil, &exchange.Conn{})
		r := &c.block.request
		r.begin()
		defer c.block.abandon()
		lines := strings.Split(list, "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			// So that line feeds come, too.
			value := strings.ReplaceAll(lines[i+1], "\v", "\n")
			c.onField(hpack.HeaderField{Name: lines[i], Value: value})
		}
		if c.block.malformed != "" || c.block.large || r.finish(true) != "" || r.status != 0 {
			return
		}
		s := newStream(c, 1, r.ex)
		r.fill(s, true)
		r.ex = nil
		defer s.release()
		q := &s.ex.Request
		var b bytes.Buffer
		b.Write(q.Method)
		b.WriteByte(' ')
		target := string(q.Path)
		if q.HasQuery {
			target += "?" + string(q.Query)
		}
		b.WriteString(target + " HTTP/1.1\r\nHost: " + string(q.Authority) + "\r\n")
		for name, value := range q.Fields.All() {
			b.WriteString(string(name) + ": " + string(value) + "\r\n")
		}
		b.WriteString("\r\n")
		br := bufio.NewReader(bytes.NewReader(b.Bytes()))
		read, err := http.ReadRequest(br)
		if err != nil {
			if strings.Contains(err.Error(), "invalid URL") || strings.Contains(err.Error(), "parse") {
				return // net/http wants URLs to be prettier than HTTP does
			}
			t.Fatalf("net/http refuses %q: %v", b.Bytes(), err)
		}
		count := 0
		for _, values := range read.Header {
			count += len(values)
		}
		if read.Method != string(q.Method) || read.RequestURI != target || read.Host != string(q.Authority) ||
			count != q.Fields.Len() || read.ContentLength != 0 || len(read.TransferEncoding) > 0 || br.Buffered() > 0 {
			t.Fatalf("net/http reads %q as %q %q %q with %d fields, %d bytes left", b.Bytes(), read.Method, read.Host, read.RequestURI, count, br.Buffered())
		}
	})
}
