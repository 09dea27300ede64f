package upstream

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// echoUpload answers with the hash of the body and its trailers.
func echoUpload(c net.Conn, r *bufio.Reader, _ int) {
	for {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		h := sha256.New()
		n, err := io.Copy(h, q.Body)
		if err != nil {
			return
		}
		say(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 64\r\nN: %d\r\nTE: %v\r\nTrailers: %v\r\n\r\n%x",
			n, q.TransferEncoding, q.Trailer, h.Sum(nil)))
	}
}

// pattern is a body of n bytes that would show shifts and repetitions.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// slowly gives a body in parts of odd sizes, with hesitations.
type slowly struct {
	r io.Reader
	n int
}

func (s *slowly) Read(p []byte) (int, error) {
	s.n++
	return s.r.Read(p[:min(len(p), s.n*977)])
}

func (s *slowly) Close() error { return nil }

func TestUploads(t *testing.T) {
	t.Parallel()
	tests := []struct {
		size    int
		unknown bool
	}{{1, false}, {maxInline, false}, {maxInline + 1, false}, {5 << 20, false}, {0, true}, {1, true}, {5 << 20, true}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.size, " unknown ", tt.unknown), func(t *testing.T) {
			t.Parallel()
			o := listen(t, echoUpload)
			p := o.pool(t, Config{})
			body := pattern(tt.size)
			for range 3 {
				ex := newExchange("POST", "/")
				q := &ex.Request
				q.Body, q.Length = &slowly{r: bytes.NewReader(body)}, int64(tt.size)
				if tt.unknown {
					q.Length = exchange.LengthUnknown
					q.Trailers.AddString("Sum", "7")
				}
				res := run(p, ex)
				if want := fmt.Sprintf("%x", sha256.Sum256(body)); res.body != want || res.err != nil || res.bodyErr != nil {
					t.Fatalf("%+v, want %s", res, want)
				}
				want := fmt.Sprintf("n=%d trailers=map[]", tt.size)
				if tt.unknown {
					want = fmt.Sprintf("n=%d trailers=map[Sum:[7]]", tt.size)
				}
				if res.fields != want {
					t.Errorf("origin saw %s, want %s", res.fields, want)
				}
			}
			if n := o.accepted.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// An origin may answer before it has the whole request.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, answer string
		then         func(net.Conn, *bufio.Reader)
		status       int
		body         string
		fields       string
	}{
		{"and close", "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig", nil, 413, "big", ""},
		{"and reset", "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig", func(c net.Conn, _ *bufio.Reader) { reset(c) }, 413, "big", ""},
		{"and keep the connection", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", func(c net.Conn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) }, 401, "no", ""},
		{"without content", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", func(c net.Conn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) }, 204, "", "x=y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := listen(t, func(c net.Conn, r *bufio.Reader, n int) {
				if n > 0 {
					answerAll(c, r, n)
					return
				}
				_, _ = r.ReadString('\n')
				say(c, tt.answer)
				if tt.then != nil {
					tt.then(c, r)
				}
			})
			p := o.pool(t, Config{})
			ex, w := withPipe(newExchange("POST", "/"))
			go func() { // a client that goes on sending until told not to
				for {
					if _, err := w.Write(make([]byte, 10000)); err != nil {
						return
					}
				}
			}()
			res := run(p, ex)
			if res.err != nil || res.bodyErr != nil || res.status != tt.status || res.body != tt.body || res.fields != tt.fields {
				t.Errorf("%+v", res)
			}
			mustGet(t, p)
			if n := o.accepted.Load(); n != 2 {
				t.Errorf("%d connections: one with half a request on it was used again", n)
			}
		})
	}
}

// Finish must end an upload that is stuck since the origin does not read.
func TestFinishEndsStuckUpload(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno"} {
		hold := make(chan struct{})
		o := listen(t, func(c net.Conn, _ *bufio.Reader, _ int) {
			say(c, answer)
			<-hold
		})
		p := o.pool(t, Config{})
		ex := newExchange("POST", "/")
		ex.Request.Body, ex.Request.Length = &slowly{r: zeros{}, n: 1 << 20}, 1<<40
		if res := run(p, ex); res.err != nil || res.bodyErr != nil {
			t.Errorf("%+v", res)
		}
		if s := p.Stats(); s.Open != 0 {
			t.Errorf("%+v", s)
		}
		close(hold)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Both directions flow at once, each part as soon as it is there.
func TestTwoWayStreaming(t *testing.T) {
	t.Parallel()
	o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		buf := make([]byte, 100)
		for {
			n, err := q.Body.Read(buf)
			if n > 0 {
				say(c, fmt.Sprintf("%x\r\n%s\r\n", n, bytes.ToUpper(buf[:n])))
			}
			if err != nil {
				break
			}
		}
		say(c, "0\r\nDone: yes\r\n\r\n")
		answerAll(c, r, 0)
	})
	p := o.pool(t, Config{})
	ex, w := withPipe(newExchange("POST", "/"))
	if err := p.RoundTrip(ex); err != nil {
		t.Fatal(err)
	}
	body := ex.Response.Body
	buf := make([]byte, 100)
	for _, s := range []string{"hello", "world"} {
		if _, err := io.WriteString(w, s); err != nil {
			t.Fatal(err)
		}
		n, err := body.Read(buf)
		if got := string(buf[:n]); got != strings.ToUpper(s) || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	_ = w.Close()
	if n, err := body.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
	if got := flat(&ex.Response.Trailers); got != "done=yes" {
		t.Errorf("trailers %s", got)
	}
	ex.Finish(10, nil)
	mustGet(t, p)
	if n := o.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A request that cannot be read to its end must never look whole to the origin,
// and its connection must not be used again.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	broken := errors.New("client broke its chunks")
	short := func(n int64) func(*exchange.Request) {
		return func(q *exchange.Request) {
			q.Body, q.Length = &slowly{r: strings.NewReader("short")}, n
		}
	}
	failing := func(n int64) func(*exchange.Request) {
		return func(q *exchange.Request) {
			q.Body, q.Length = &slowly{r: io.MultiReader(strings.NewReader("some"), failure1{broken})}, n
		}
	}
	tests := []struct {
		name string
		body func(*exchange.Request)
		is   error
		text string
	}{
		{"small and short", short(10), io.ErrUnexpectedEOF, "read the request's body"},
		{"large and short", short(1 << 20), io.ErrUnexpectedEOF, "read the request's body"},
		{"small and failing", failing(10), broken, "read the request's body: client broke"},
		{"large and failing", failing(1 << 20), broken, "read the request's body: client broke"},
		{"chunked and failing", failing(-1), broken, "read the request's body: client broke"},
		{"bad trailer", func(q *exchange.Request) {
			q.Body, q.Length = &slowly{r: strings.NewReader("x")}, -1
			q.Trailers.AddString("A", "b\r\nC: d")
		}, ErrInvalid, "control characters"},
		{"trailer with a length", func(q *exchange.Request) {
			q.Body, q.Length = &slowly{r: strings.NewReader("x")}, -1
			q.Trailers.AddString("Content-Length", "5")
		}, ErrInvalid, "belongs to the connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			whole := make(chan string, 1)
			o := listen(t, func(_ net.Conn, r *bufio.Reader, _ int) { whole <- readRequest(r) })
			p := o.pool(t, Config{})
			ex := newExchange("POST", "/")
			tt.body(&ex.Request)
			res := run(p, ex)
			wantErr(t, res.err, tt.is, tt.text)
			if errors.Is(res.err, ErrNotProcessed) || errors.Is(res.err, ErrTimeout) {
				t.Errorf("%v blames the origin", res.err)
			}
			if o.accepted.Load() > 0 {
				if s := <-whole; s != "" {
					t.Errorf("the origin took %q for a request", s)
				}
			}
			if s := p.Stats(); s.Open != 0 {
				t.Errorf("%+v: the connection is kept", s)
			}
		})
	}
}

type failure1 struct{ err error }

func (f failure1) Read([]byte) (int, error) { return 0, f.err }

// A request whose small body was read already can still go to another replica.
func TestBodyIsWholeAfterRetryableError(t *testing.T) {
	t.Parallel()
	busy := listen(t, func(_ net.Conn, r *bufio.Reader, _ int) { _, _ = io.Copy(io.Discard, r) }).pool(t, Config{MaxConns: 1})
	other := newExchange("GET", "/")
	go func() { _ = run(busy, other) }()
	eventually(t, "the only connection's use", func() bool { return busy.Stats().Busy == 1 })
	busy.cfg.DialTimeout = 20 * time.Millisecond
	good := listen(t, echoUpload).pool(t, Config{})

	body := pattern(maxInline)
	ex := newExchange("POST", "/")
	ex.Request.Body, ex.Request.Length = &slowly{r: bytes.NewReader(body)}, int64(len(body))
	for range 2 {
		wantErr(t, busy.RoundTrip(ex), ErrNotProcessed, "in use")
	}
	if res := run(good, ex); res.body != fmt.Sprintf("%x", sha256.Sum256(body)) {
		t.Errorf("%+v", res)
	}
	busy.mu.Lock()
	c := busy.conns[0]
	busy.mu.Unlock()
	busy.kill(c, errEnded)
}
