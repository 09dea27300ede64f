package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/freeport"
)

// contentOf is what the answer to request id holds: of various lengths, and such
// that no part of it fits another id, nor another place.
func contentOf(id int) []byte {
	sizes := []int{0, 1, 100, 1000, 5000, 16 << 10, 40000, 200000}
	n := sizes[id%len(sizes)]
	b := make([]byte, 0, n+30)
	for len(b) < n {
		b = fmt.Appendf(b, "%d at %d;", id, len(b))
	}
	return b[:n]
}

// outcome is what a client may get to see.
type outcome int

const (
	complete outcome = iota // the answer, whole
	cut                     // an error in the middle, or a page that says 502
	refused                 // a page that says 502
	silent                  // nothing, for longer than the client waits
)

// misdeed is something that an origin does instead of answering properly.
type misdeed struct {
	name string
	want outcome
	do   func(c net.Conn, id int, content []byte)
}

const untilClose = "nothing wrong, until close"

func misdeeds() []misdeed {
	head := func(id int, fields string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %d\r\n%s\r\n", id, fields)
	}
	withLength := func(id int, content []byte) string {
		return head(id, fmt.Sprintf("Content-Length: %d\r\n", len(content))) + string(content)
	}
	chunk := func(b []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(b), b) }
	const chunked = "Transfer-Encoding: chunked\r\n"
	say := func(text func(id int, content []byte) string) func(net.Conn, int, []byte) {
		return func(c net.Conn, id int, content []byte) { _, _ = io.WriteString(c, text(id, content)) }
	}
	// broken is a head that is no head.
	broken := func(text string) func(net.Conn, int, []byte) {
		return say(func(int, []byte) string { return text })
	}
	longer := func(content []byte) []byte { return append([]byte("at least this much "), content...) }
	return []misdeed{
		{"nothing wrong, with a length", complete, say(withLength)},
		{"nothing wrong, in chunks", complete, say(func(id int, content []byte) string {
			half := len(content) / 2
			var b strings.Builder
			b.WriteString(head(id, chunked))
			for _, part := range [][]byte{content[:half], content[half:]} {
				if len(part) > 0 {
					b.WriteString(chunk(part))
				}
			}
			return b.String() + "0\r\n\r\n"
		})},
		{untilClose, complete, say(func(id int, content []byte) string {
			return head(id, "Connection: close\r\n") + string(content)
		})},
		{"nothing wrong, in dribs", complete, func(c net.Conn, id int, content []byte) {
			answer := withLength(id, content)
			for n := 1; answer != ""; n *= 3 {
				n = min(n, len(answer))
				if _, err := io.WriteString(c, answer[:n]); err != nil {
					return
				}
				answer = answer[n:]
				time.Sleep(time.Millisecond)
			}
		}},
		{"surplus: another answer", complete, say(func(id int, content []byte) string {
			return withLength(id, content) + withLength(-1, []byte("this answers nobody"))
		})},
		{"surplus: garbage", complete, say(func(id int, content []byte) string { return withLength(id, content) + "\x00\xff garbage" })},
		{"many interim answers", complete, say(func(id int, content []byte) string {
			return strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 5) + withLength(id, content)
		})},
		{"shorter than its length", cut, say(func(id int, content []byte) string {
			return head(id, fmt.Sprintf("Content-Length: %d\r\n", len(content)+1)) + string(content)
		})},
		{"reset in the middle", cut, func(c net.Conn, id int, content []byte) {
			_, _ = io.WriteString(c, head(id, fmt.Sprintf("Content-Length: %d\r\n", len(content)+1))+string(content))
			_ = c.(*net.TCPConn).SetLinger(0)
		}},
		{"chunks without an end", cut, say(func(id int, content []byte) string { return head(id, chunked) + chunk(longer(content)) })},
		{"chunk cut off", cut, say(func(id int, content []byte) string {
			s := head(id, chunked) + chunk(longer(content))
			return s[:len(s)-5]
		})},
		{"chunk with a wrong size", cut, say(func(id int, content []byte) string {
			return head(id, chunked) + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(content)+5, longer(content))
		})},
		{"chunk size that is no number", cut, say(func(id int, content []byte) string {
			return head(id, chunked) + chunk(longer(content)) + "0x5\r\nhello\r\n0\r\n\r\n"
		})},
		{"chunk size that wraps around", cut, say(func(id int, content []byte) string {
			return head(id, chunked) + chunk(longer(content)) + "10000000000000005\r\nhello\r\n0\r\n\r\n"
		})},
		{"chunk extension with a bare LF", cut, say(func(id int, content []byte) string {
			return head(id, chunked) + chunk(longer(content)) + "5;\n\r\nhello\r\n0\r\n\r\n"
		})},
		{"trailers that are none", cut, say(func(id int, content []byte) string {
			return head(id, chunked) + chunk(longer(content)) + "0\r\nHTTP/1.1 200 OK\r\n\r\n"
		})},
		{"silent in the middle", silent, func(c net.Conn, id int, content []byte) {
			_, _ = io.WriteString(c, head(id, chunked)+chunk(longer(content)))
			_, _ = c.Read(make([]byte, 1)) // until the client has given up
		}},
		{"silent", silent, func(c net.Conn, _ int, _ []byte) { _, _ = c.Read(make([]byte, 1)) }},
		{"closed at once", refused, func(net.Conn, int, []byte) {}},
		{"reset at once", refused, func(c net.Conn, _ int, _ []byte) { _ = c.(*net.TCPConn).SetLinger(0) }},
		{"head cut off", refused, broken("HTTP/1.1 200 OK\r\nX-Id")},
		{"head without end", refused, func(c net.Conn, _ int, _ []byte) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			line := []byte("X-More: " + strings.Repeat("more", 1000) + "\r\n")
			for range 1000 {
				if _, err := c.Write(line); err != nil {
					return
				}
			}
		}},
		{"interim answers without end", refused, func(c net.Conn, _ int, _ []byte) {
			hints := []byte(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100))
			for range 1000 {
				if _, err := c.Write(hints); err != nil {
					return
				}
			}
		}},
		{"length and chunks", refused, broken("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
		{"two lengths", refused, broken("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")},
		{"split by a bare CR", refused, broken("HTTP/1.1 302 Found\r\nLocation: /\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n")},
		{"split by a bare LF", refused, broken("HTTP/1.1 302 Found\r\nLocation: /\nSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n")},
		{"split by a folded line", refused, broken("HTTP/1.1 200 OK\r\nX: y\r\n Set-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n")},
		{"content only", refused, broken("<html>HTTP/0.9 lives</html>\r\n\r\n")},
		{"another protocol", refused, broken("SSH-2.0-OpenSSH_9.6\r\n")},
		{"zeros", refused, broken(strings.Repeat("\x00", 5000))},
		{"status that is no number", refused, broken("HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n")},
		{"101 that nobody asked for", refused, broken("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")},
	}
}

// misbehave serves requests for /N/ID by misdeed N.
type misbehave struct {
	deeds []misdeed
	done  []atomic.Int64
}

func (m *misbehave) serve(t *testing.T) (url string) {
	t.Helper()
	m.deeds = misdeeds()
	m.done = make([]atomic.Int64, len(m.deeds))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.conn(c)
		}
	}()
	return "http://" + l.Addr().String()
}

// least is how often the rarest misdeed was done.
func (m *misbehave) least() int64 {
	least := m.done[0].Load()
	for n := range m.done {
		least = min(least, m.done[n].Load())
	}
	return least
}

// conn answers one request after the other while nothing is wrong.
func (m *misbehave) conn(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		parts := strings.Split(req.URL.Path, "/")
		if err != nil || len(parts) != 3 {
			return
		}
		n, _ := strconv.Atoi(parts[1])
		id, _ := strconv.Atoi(parts[2])
		if content := contentOf(id); req.Method == http.MethodPost && !bytes.Equal(body, content) {
			_, _ = io.WriteString(c, "HTTP/1.1 418 wrong content arrived\r\nContent-Length: 0\r\n\r\n")
			return
		}
		m.deeds[n].do(c, id, contentOf(id))
		m.done[n].Add(1)
		// Whoever closes without a word can lose a POST that is on its way.
		if m.deeds[n].want != complete || m.deeds[n].name == untilClose {
			return
		}
	}
}

// mortal is an honest origin that can be killed and raised, on the same address.
type mortal struct {
	address string
	slow    atomic.Bool

	mu     sync.Mutex
	server *http.Server
	conns  map[net.Conn]bool
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	m := &mortal{address: freeport.Local(t)}
	if err := m.raise(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.kill)
	return m
}

func (m *mortal) raise() error {
	l, err := net.Listen("tcp", m.address)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns = map[net.Conn]bool{}
	m.server = &http.Server{Handler: m, ConnState: func(c net.Conn, s http.ConnState) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s == http.StateClosed {
			delete(m.conns, c)
		} else {
			m.conns[c] = true
		}
	}}
	go func(s *http.Server) { _ = s.Serve(l) }(m.server)
	return nil
}

// kill does what the kernel does to the connections of a process that is killed.
func (m *mortal) kill() {
	m.mu.Lock()
	for c := range m.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	s := m.server
	m.mu.Unlock()
	_ = s.Close()
}

// ServeHTTP answers GET and POST with contentOf; what was posted must be that, too.
func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	content := contentOf(id)
	if r.Method == http.MethodPost {
		if body, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(body, content) {
			http.Error(w, "wrong content arrived", http.StatusTeapot)
			return
		}
	}
	if m.slow.Load() {
		time.Sleep(rand.N(100 * time.Millisecond))
	}
	w.Header().Set("X-Id", strconv.Itoa(id))
	if id%3 == 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	}
	_, _ = w.Write(content)
}
