package h1

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// holder keeps the last byte of each write back until the next one, so that the
// other side has a part of a TLS record only.
type holder struct {
	net.Conn
	mu   sync.Mutex
	on   bool
	held []byte
}

func (h *holder) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := append(h.held, p...)
	h.held = nil
	if h.on {
		h.held = append(h.held, out[len(out)-1])
		out = out[:len(out)-1]
	}
	_, err := h.Conn.Write(out)
	return len(p), err
}

func (h *holder) hold(on bool) {
	h.mu.Lock()
	h.on = on
	h.mu.Unlock()
	if !on {
		_, _ = h.Write(nil)
	}
}

// TestUploadInLargeParts has what TLS delivers in records of 16 KiB read together,
// whatever the framing, and nothing lost where only a part of a record has come.
func TestUploadInLargeParts(t *testing.T) {
	t.Parallel()
	const size = 200 << 10
	content := strings.Repeat("0123456789abcdef", size/16)
	for name, frame := range map[string]func(string) string{
		"length": func(s string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, s) },
		"chunked": func(s string) string {
			return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, got := make(chan struct{}), make(chan int, 1000)
			var largest int
			r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
				<-sent
				buf := make([]byte, wire.Large)
				var all strings.Builder
				for {
					n, err := ex.Request.Body.Read(buf)
					largest = max(largest, n)
					_, _ = all.Write(buf[:n])
					got <- all.Len()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Errorf("after %d bytes: %v", all.Len(), err)
						break
					}
				}
				if all.String() != content {
					t.Errorf("the content of %d bytes is another one", all.Len())
				}
				answer(ex, "ok")
			})}, true)
			c := r.dial()
			h := &holder{Conn: c.tcp}
			c.Conn = tls.Client(h, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
			c.init()
			message := "POST / HTTP/1.1\r\nHost: x\r\n" + frame(content)
			c.send(message[:100<<10])
			h.hold(true)
			c.send(message[100<<10 : 110<<10])
			close(sent)
			// It goes on when all that can be read has been.
			for n := range got {
				if n > 80<<10 {
					break
				}
			}
			h.hold(false)
			c.send(message[110<<10:])
			c.expectOK("", "ok")
			if largest < 3*wire.Small {
				t.Errorf("no read gave more than %d bytes", largest)
			}
		})
	}
}

// TestUploadBreaksOffInLargePart has the content that came before the end read, and
// then the error.
func TestUploadBreaksOffInLargePart(t *testing.T) {
	t.Parallel()
	sent, ended := make(chan struct{}), make(chan struct{})
	r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		defer close(ended)
		<-sent
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{ex.Request.Body}, make([]byte, wire.Large))
		if n != 50<<10 || !errors.Is(err, exchange.ErrClientGone) {
			t.Errorf("read %d bytes, then %v", n, err)
		}
		ex.Response.Status = 400
	})}, true)
	c := r.dial()
	c.Conn = tls.Client(c.tcp, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
	c.init()
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 50<<10))
	_ = c.Close()
	close(sent)
	<-ended
}
