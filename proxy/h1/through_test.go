package h1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"portway/proxy/exchange"
	"portway/proxy/h1"
	"portway/proxy/upstream"
)

// through is a front with a pool behind it, as Portway has them for each route.
type through struct {
	pool *upstream.Pool
	mu   sync.Mutex
	seen []string // complete requests, as the front understood them
}

func (th *through) Serve(ex *exchange.Exchange) {
	q := &ex.Request
	note := fmt.Sprintf("%s %s %s", q.Method, q.Authority, q.Path)
	if q.HasQuery {
		note += "?" + string(q.Query)
	}
	body := &noted{Body: q.Body, done: func(content []byte) {
		th.mu.Lock()
		defer th.mu.Unlock()
		th.seen = append(th.seen, fmt.Sprintf("%s %q", note, content))
	}}
	if q.Body == nil {
		body.done(nil)
	} else {
		q.Body = body
	}
	if err := th.pool.RoundTrip(ex); err != nil {
		ex.Response.Status = http.StatusBadGateway
	}
}

// noted tells the content of a body that was read to its true end.
type noted struct {
	exchange.Body
	content []byte
	done    func(content []byte)
}

func (b *noted) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	b.content = append(b.content, p[:n]...)
	if err == io.EOF && b.done != nil {
		b.done(b.content)
		b.done = nil
	}
	return n, err
}

// origin answers connections by f until the returned function is called, which
// waits for the last one.
func origin(t *testing.T, f func(nc net.Conn)) (pool *upstream.Pool, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = nc.Close() }()
				_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
				f(nc)
			})
		}
	})
	pool = upstream.NewPool(upstream.Config{Network: "tcp", Address: l.Addr().String(), Scheme: "http"})
	return pool, func() {
		pool.Close()
		_ = l.Close()
		conns.Wait()
	}
}

// rows calls f for each row of the tables in testdata/dir.
func rows(t *testing.T, dir string, f func(t *testing.T, raw []byte, want string)) {
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables (%v)", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range archive.Files {
			raw, want := h1.CutRow(t, file, row)
			t.Run(filepath.Base(file)+" "+row.Name, func(t *testing.T) { f(t, raw, want) })
		}
	}
}

// talk sends raw to a front, ends the stream, and gives all that comes back.
func talk(t *testing.T, th *through, raw []byte) []byte {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { (&h1.Server{Handler: th}).ServeConn(server, &exchange.Conn{Protocol: exchange.HTTP11}) })
	wg.Go(func() {
		_, _ = client.Write(raw) // the server may have closed
		_ = client.(*net.TCPConn).CloseWrite()
	})
	got, _ := io.ReadAll(client)
	_ = client.Close()
	wg.Wait()
	return got
}

// Whatever hostile bytes come, an origin with another parser (net/http's) sees the
// requests that we saw, with the same content: not one more, and no other.
func TestOriginSeesTheSameRequests(t *testing.T) {
	t.Parallel()
	rows(t, "requests", func(t *testing.T, raw []byte, _ string) {
		var mu sync.Mutex
		var arrived []string
		pool, end := origin(t, func(nc net.Conn) {
			r := bufio.NewReader(nc)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					if err != io.EOF && err != io.ErrUnexpectedEOF {
						t.Errorf("the origin got what is no request: %v", err)
					}
					return
				}
				content, err := io.ReadAll(req.Body)
				if err != nil {
					return // given up, which the origin can tell
				}
				mu.Lock()
				arrived = append(arrived, fmt.Sprintf("%s %s %s %q", req.Method, req.Host, req.RequestURI, content))
				mu.Unlock()
				if _, err := io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
					return
				}
			}
		})
		th := &through{pool: pool}
		_ = talk(t, th, raw)
		end()
		if !slices.Equal(th.seen, arrived) {
			t.Errorf("we saw\n%.300q\nthe origin\n%.300q", th.seen, arrived)
		}
	})
}

// Whatever hostile bytes an origin answers with, a client with another parser
// (net/http's) reads what we read, or an error where we found one: nothing that
// was refused or cut off looks complete, and nothing follows behind an answer.
func TestClientSeesTheSameAnswers(t *testing.T) {
	t.Parallel()
	rows(t, "responses", func(t *testing.T, raw []byte, _ string) {
		word, answer, _ := bytes.Cut(raw, []byte(" "))
		method := string(word)
		events := h1.Received(method, answer)
		last := events[len(events)-1]
		pool, end := origin(t, func(nc net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(nc)); err != nil {
				return
			}
			_, _ = nc.Write(answer)
			_ = nc.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, nc)
		})
		th := &through{pool: pool}
		got := talk(t, th, []byte(method+" / HTTP/1.1\r\nHost: a\r\n\r\n"))
		end()

		r := bufio.NewReader(bytes.NewReader(got))
		var resp *http.Response
		var err error
		for resp == nil || resp.StatusCode < 200 {
			if resp, err = http.ReadResponse(r, &http.Request{Method: method}); err != nil {
				t.Fatalf("the client got %.100q: %v", got, err)
			}
		}
		content, err := io.ReadAll(resp.Body)
		rest, _ := io.ReadAll(r)
		said := fmt.Sprintf("%d %.40q", resp.StatusCode, content)
		head, tail, _ := strings.Cut(strings.TrimPrefix(last, "=> "), `"`)
		broken := strings.Contains(tail, `" refused: `) || strings.Contains(tail, `" cut off`)
		switch {
		case len(rest) > 0 && err == nil:
			t.Errorf("behind the answer comes %.100q", rest)
		case strings.HasPrefix(head, "refused") || strings.HasPrefix(head, "incomplete") || strings.HasPrefix(head, "101"):
			if resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s, but the client got %s", last, said)
			}
		case broken:
			if err == nil && resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s, but for the client it is complete: %s", last, said)
			}
		case err != nil || !strings.HasPrefix(last, "=> "+fmt.Sprint(resp.StatusCode)) || !strings.Contains(last, fmt.Sprintf("%.40q", content)):
			t.Errorf("%s, but the client got %s, %v", last, said, err)
		}
	})
}
