package h1

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"portway/proxy/exchange"
)

var update = flag.Bool("update", false, "write what happens into testdata as what must happen")

// hostile runs the rows of testdata/dir/*.txtar. A row's lines are raw bytes: line
// ends of the file do not count, \r, \n, \t, \0, \xHH and \\ stand for bytes, and
// *N at the end of a line repeats it N times. Lines "=> " say what must happen.
func hostile(t *testing.T, dir string, run func(raw []byte) []string) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables (%v)", err)
	}
	rows := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range archive.Files {
			rows++
			raw, want := cutRow(t, file, row)
			got := run(raw)
			if *update {
				archive.Files[i].Data = slices.Concat(bytes.TrimSuffix(row.Data, []byte(want)), []byte(strings.Join(got, "")))
				continue
			}
			if strings.Join(got, "") != want {
				t.Errorf("%s: %s:\ngot:\n%swant:\n%s", file, row.Name, strings.Join(got, ""), want)
			}
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d rows", rows)
}

// cutRow splits a row into bytes to send and what must happen.
func cutRow(t testing.TB, file string, row txtar.File) (raw []byte, want string) {
	t.Helper()
	text := string(row.Data)
	if i := strings.Index("\n"+text, "\n=> "); i >= 0 {
		text, want = text[:i], text[i:]
	}
	for line := range strings.Lines(text) {
		b, err := unescape(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatalf("%s: %s: %q: %v", file, row.Name, line, err)
		}
		raw = append(raw, b...)
	}
	return raw, want
}

func unescape(line string) ([]byte, error) {
	times := 1
	if i := strings.LastIndex(line, "*"); i > 0 {
		if n, err := strconv.Atoi(line[i+1:]); err == nil {
			line, times = line[:i], n
		}
	}
	line = strings.ReplaceAll(strings.ReplaceAll(line, `"`, `\"`), `\0`, `\x00`)
	s, err := strconv.Unquote(`"` + line + `"`)
	// \xHH stands for a byte, not a character, in Go's syntax too.
	return bytes.Repeat([]byte(s), times), err
}

func TestHostileRequests(t *testing.T) {
	hostile(t, "requests", func(raw []byte) []string { return served(t, raw) })
}

// served sends raw to a server, ends the stream, and tells what the handler got to
// see and how the server refused what it did not take.
func served(t *testing.T, raw []byte) (events []string) {
	client, server := socketPair(t)
	var mu sync.Mutex
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf("=> "+format+"\n", args...))
	}
	s := &Server{
		Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			note("%s", describe(&ex.Request))
			ex.Response.Status = 204
		}),
		Refuse: func(ex *exchange.Exchange, status int, reason string) {
			note("%d %s", status, reason)
			ex.Response.Status = status
		},
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.ServeConn(server, &exchange.Conn{Protocol: exchange.HTTP11}) })
	wg.Go(func() {
		_, _ = client.Write(raw) // the server may have closed
		_ = client.(*net.UnixConn).CloseWrite()
	})
	if _, err := io.Copy(io.Discard, client); err != nil {
		note("connection broken: %v", err)
	}
	wg.Wait()
	_ = client.Close()
	if len(events) == 0 {
		note("nothing")
	}
	return events
}

// describe gives all that a request means.
func describe(q *exchange.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", q.Method, q.Authority, q.Path)
	if q.HasQuery {
		fmt.Fprintf(&b, "?%s", q.Query)
	}
	if q.Upgrade != nil {
		fmt.Fprintf(&b, " upgrade=%s", q.Upgrade)
	}
	if q.Fields.Len() > 0 {
		fmt.Fprintf(&b, " {%s}", ascii(&q.Fields))
	}
	if q.Body != nil {
		content, err := io.ReadAll(q.Body)
		fmt.Fprintf(&b, " %.40q", content)
		if err != nil {
			fmt.Fprintf(&b, " %v", err)
		}
		if q.Trailers.Len() > 0 {
			fmt.Fprintf(&b, " trailers {%s}", ascii(&q.Trailers))
		}
	}
	return b.String()
}

// ascii is show for files that people read.
func ascii(f *exchange.Fields) string {
	s := strconv.QuoteToASCII(show(f))
	return s[1 : len(s)-1]
}

func TestHostileResponses(t *testing.T) {
	hostile(t, "responses", func(raw []byte) []string {
		method, rest, _ := bytes.Cut(raw, []byte(" "))
		return received(string(method), rest)
	})
}

// received tells how raw is taken as the answer to a request with that method.
func received(method string, raw []byte) (events []string) {
	note := func(format string, args ...any) {
		events = append(events, fmt.Sprintf("=> "+format+"\n", args...))
	}
	for len(events) < 10 {
		var resp exchange.Response
		n, f, err := ParseResponseHead(raw, []byte(method), &resp, Limits{})
		if err != nil {
			note("refused: %v", err)
			return events
		}
		if n == 0 {
			note("incomplete")
			return events
		}
		raw = raw[n:]
		head := strconv.Itoa(resp.Status)
		if resp.Fields.Len() > 0 {
			head += " {" + ascii(&resp.Fields) + "}"
		}
		if resp.Status < 200 && resp.Status != 101 {
			note("%s", head)
			continue
		}
		var b BodyReader
		b.Reset(f, bytes.Clone(raw), strings.NewReader(""), &resp.Trailers, Limits{})
		content, err := io.ReadAll(&b)
		head += fmt.Sprintf(" %.40q", content)
		if resp.Trailers.Len() > 0 {
			head += " trailers {" + ascii(&resp.Trailers) + "}"
		}
		var syntax *SyntaxError
		switch {
		case errors.As(err, &syntax):
			head += " refused: " + err.Error()
		case err != nil:
			head += " cut off"
		case len(b.Rest()) > 0:
			head += fmt.Sprintf(", surplus %.40q", b.Rest())
		case f.KeepAlive:
			head += ", connection kept"
		default:
			head += ", connection closed"
		}
		note("%s", head)
		return events
	}
	return events
}
