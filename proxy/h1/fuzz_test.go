package h1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rogpeppe/go-internal/txtar"

	"portway/proxy/exchange"
)

// seeds adds the rows of testdata/dir to the corpus.
func seeds(f *testing.F, dir string, add func(raw []byte)) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no tables (%v)", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, row := range archive.Files {
			raw, _ := cutRow(f, file, row)
			if len(raw) <= 4096 {
				add(raw)
			}
		}
	}
}

// message is what both parsers must agree on.
type message struct {
	start    string // of a request: method, host, target; of a response: the status
	fields   []string
	content  string
	trailers []string
	rest     string
	keep     bool
}

// list gives end-to-end fields sorted by name, with values of one name in order.
func list(header http.Header, drop func(name string) bool) []string {
	var lines []string
	for name, values := range header {
		if drop(strings.ToLower(name)) {
			continue
		}
		for _, v := range values {
			lines = append(lines, strings.ToLower(name)+": "+v)
		}
	}
	slices.SortStableFunc(lines, byName)
	return lines
}

func byName(a, b string) int {
	na, _, _ := strings.Cut(a, ":")
	nb, _, _ := strings.Cut(b, ":")
	return strings.Compare(na, nb)
}

func ours(fields *exchange.Fields) []string {
	var lines []string
	for name, value := range fields.All() {
		lines = append(lines, strings.ToLower(string(name))+": "+string(value))
	}
	slices.SortStableFunc(lines, byName)
	return lines
}

// hopByHop tells which fields of a message are not end-to-end.
func hopByHop(header http.Header, request bool) func(string) bool {
	drop := map[string]bool{
		"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true,
		"transfer-encoding": true, "upgrade": true, "content-length": true,
	}
	if request {
		drop["expect"], drop["host"] = true, true
	}
	for _, list := range header["Connection"] {
		for option := range strings.SplitSeq(list, ",") {
			drop[strings.ToLower(strings.Trim(option, " \t"))] = true
		}
	}
	return func(name string) bool { return drop[name] }
}

func lateFields(name string) bool { return !exchange.TrailerAllowed([]byte(name)) }

// content reads a body of which the first cut bytes came with the head, in small
// pieces if drip is set.
func content(f Framing, raw []byte, cut int, drip bool, trailers *exchange.Fields) (string, []byte, error) {
	var src io.Reader = bytes.NewReader(raw[cut:])
	if drip {
		src = iotest.OneByteReader(src)
	}
	var b BodyReader
	b.Reset(f, bytes.Clone(raw[:cut]), src, trailers, Limits{})
	got, err := io.ReadAll(&b)
	rest := bytes.Clone(b.Rest())
	more, _ := io.ReadAll(src)
	return string(got), append(rest, more...), err
}

// What this parser takes for a request, net/http takes for the same request.
func FuzzRequest(f *testing.F) {
	seeds(f, "requests", func(raw []byte) { f.Add(raw, uint16(len(raw)/2), false) })
	f.Fuzz(func(t *testing.T, raw []byte, cut uint16, drip bool) {
		var q exchange.Request
		n, rh, err := ParseRequestHead(raw, &q, Limits{})
		if n == 0 || err != nil {
			return
		}
		body := raw[n:]
		got := message{fields: ours(&q.Fields), keep: rh.KeepAlive}
		got.start = string(q.Method) + " " + strings.ToLower(string(q.Authority)) + " " + string(q.Path)
		if q.HasQuery {
			got.start += "?" + string(q.Query)
		}
		var rest []byte
		got.content, rest, err = content(rh.Framing, body, int(cut)%(len(body)+1), drip, &q.Trailers)
		if err != nil {
			return
		}
		got.rest, got.trailers = string(rest), ours(&q.Trailers)

		r := bufio.NewReaderSize(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\r\n"))), 1<<20)
		req, err := http.ReadRequest(r)
		if err != nil {
			if strings.Contains(err.Error(), "bad trailer key") {
				return // says something about the Trailer field, which we drop
			}
			t.Fatalf("%q is taken, but net/http says: %v", raw, err)
		}
		want := message{keep: !req.Close}
		if req.ProtoMinor == 0 {
			want.keep = false
			for _, v := range req.Header["Connection"] {
				want.keep = want.keep || hasOption(v, "keep-alive")
			}
			want.keep = want.keep && !req.Close
		}
		want.start = req.Method + " " + strings.ToLower(req.Host) + " " + targetOf(req)
		if len(q.Fields.Get("pragma")) > 0 && !q.Fields.Has("cache-control") {
			req.Header.Del("Cache-Control") // net/http makes one of Pragma
		}
		want.fields = list(req.Header, hopByHop(req.Header, true))
		b, err := io.ReadAll(req.Body)
		if err != nil {
			t.Fatalf("the body of %q is taken, but net/http says: %v", raw, err)
		}
		want.content = string(b)
		want.trailers = list(req.Trailer, lateFields)
		left, _ := io.ReadAll(r)
		want.rest = string(left)
		compare(t, raw, got, want)
	})
}

// targetOf gives path and query of a request that net/http parsed.
func targetOf(req *http.Request) string {
	target := req.RequestURI
	if i := strings.Index(target, "://"); i >= 0 && !strings.HasPrefix(target, "/") {
		target = target[i+3:]
		j := strings.IndexAny(target, "/?")
		if j < 0 {
			j = len(target)
		}
		target = target[j:]
		if target == "" && req.Method == "OPTIONS" {
			return "*"
		}
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	}
	return target
}

func hasOption(list, option string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(s, " \t"), option) {
			return true
		}
	}
	return false
}

func compare(t *testing.T, raw []byte, got, want message) {
	t.Helper()
	switch {
	case got.start != want.start:
		t.Errorf("%q:\ngot  %q\nwant %q", raw, got.start, want.start)
	case !slices.Equal(got.fields, want.fields):
		t.Errorf("%q: fields\ngot  %q\nwant %q", raw, got.fields, want.fields)
	case got.content != want.content:
		t.Errorf("%q: content\ngot  %q\nwant %q", raw, got.content, want.content)
	case !slices.Equal(got.trailers, want.trailers):
		t.Errorf("%q: trailers\ngot  %q\nwant %q", raw, got.trailers, want.trailers)
	case got.rest != want.rest:
		t.Errorf("%q: rest\ngot  %q\nwant %q", raw, got.rest, want.rest)
	case got.keep && !want.keep:
		t.Errorf("%q: the connection is kept, net/http closes it", raw)
	}
}

// What this parser takes for a response, net/http takes for the same response.
func FuzzResponse(f *testing.F) {
	seeds(f, "responses", func(raw []byte) {
		method, rest, _ := bytes.Cut(raw, []byte(" "))
		f.Add(rest, string(method) == "HEAD", uint16(len(rest)/2), false)
	})
	f.Fuzz(func(t *testing.T, raw []byte, head bool, cut uint16, drip bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		var p exchange.Response
		n, framing, err := ParseResponseHead(raw, []byte(method), &p, Limits{})
		if n == 0 || err != nil {
			return
		}
		body := raw[n:]
		got := message{start: http.StatusText(p.Status), fields: ours(&p.Fields), keep: framing.KeepAlive}
		var rest []byte
		got.content, rest, err = content(framing, body, int(cut)%(len(body)+1), drip, &p.Trailers)
		if err != nil {
			return
		}
		got.rest, got.trailers = string(rest), ours(&p.Trailers)

		r := bufio.NewReaderSize(bytes.NewReader(raw), 1<<20)
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			if strings.Contains(err.Error(), "bad trailer key") {
				return
			}
			t.Fatalf("%q is taken, but net/http says: %v", raw, err)
		}
		want := message{start: http.StatusText(resp.StatusCode), keep: !resp.Close}
		if resp.ProtoMinor == 0 {
			want.keep = want.keep && hasOption(strings.Join(resp.Header["Connection"], ","), "keep-alive")
		}
		if len(p.Fields.Get("pragma")) > 0 && !p.Fields.Has("cache-control") {
			resp.Header.Del("Cache-Control")
		}
		want.fields = list(resp.Header, hopByHop(resp.Header, false))
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("the body of %q is taken, but net/http says: %v", raw, err)
		}
		want.content = string(b)
		want.trailers = list(resp.Trailer, lateFields)
		left, _ := io.ReadAll(r)
		want.rest = string(left)
		compare(t, raw, got, want)
	})
}

// A chunked body means the same however it is cut into reads and by whatever size
// it is read.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\nrest"), uint16(3), uint8(1))
	f.Add([]byte("5;a=\"b\"\r\nhello\r\n1\r\nx\r\n0\r\nSum: 1\r\n\r\n"), uint16(20), uint8(7))
	f.Add([]byte("5 \r\nhello\r\n0\r\n\r\n"), uint16(0), uint8(0))
	f.Fuzz(func(t *testing.T, raw []byte, cut uint16, size uint8) {
		var wantTrailers, gotTrailers exchange.Fields
		want, wantRest, wantErr := content(Framing{Kind: Chunked}, raw, len(raw), false, &wantTrailers)
		at := int(cut) % (len(raw) + 1)
		src := iotest.HalfReader(bytes.NewReader(raw[at:]))
		var b BodyReader
		b.Reset(Framing{Kind: Chunked}, bytes.Clone(raw[:at]), src, &gotTrailers, Limits{})
		var got []byte
		var err error
		for p := make([]byte, int(size)+1); err == nil; {
			var n int
			n, err = b.Read(p)
			got = append(got, p[:n]...)
			if n == 0 && err == nil {
				t.Fatalf("%q: a read of nothing without an error", raw)
			}
		}
		if err == io.EOF {
			err = nil
		}
		if string(got) != want || reason(err) != reason(wantErr) || show(&gotTrailers) != show(&wantTrailers) {
			t.Errorf("%q cut at %d, read by %d:\ngot  %q %v\nwant %q %v", raw, at, size, got, err, want, wantErr)
		}
		if err == nil {
			more, _ := io.ReadAll(src)
			if rest := string(b.Rest()) + string(more); rest != string(wantRest) {
				t.Errorf("%q: rest %q, want %q", raw, rest, wantRest)
			}
		}
	})
}

func reason(err error) string {
	var syntax *SyntaxError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &syntax):
		return syntax.Reason
	}
	return err.Error()
}

// Whatever a handler puts into fields and trailers, the client reads that or
// nothing, and in no case more.
func FuzzWrite(f *testing.F) {
	f.Add("Location", "/\r\nSet-Cookie: evil=1", "hello", true)
	f.Add("X\r\nSet-Cookie", "evil=1", "", false)
	f.Add("Grpc-Status", "0", "x", true)
	f.Add("X", "\t a \x00", "x", true)
	f.Fuzz(func(t *testing.T, name, value, text string, chunked bool) {
		var fields exchange.Fields
		fields.AddString(name, value)
		var b []byte
		if chunked {
			b = appendResponseHead(nil, 200, &fields, responseEnd{Length: -1, Chunked: true})
			if text != "" {
				b = appendChunkSize(b, len(text))
				b = appendChunkEnd(append(b, text...))
			}
			b = appendLastChunk(b, &fields)
		} else {
			b = appendResponseHead(nil, 200, &fields, responseEnd{Length: int64(len(text))})
			b = append(b, text...)
		}
		var p exchange.Response
		n, framing, err := ParseResponseHead(b, []byte("GET"), &p, Limits{})
		if err != nil || n == 0 {
			t.Fatalf("%q: %v", b, err)
		}
		got, rest, err := content(framing, b[n:], 0, false, &p.Trailers)
		if err != nil || got != text || len(rest) > 0 || p.Fields.Len() > 1 || p.Trailers.Len() > 1 {
			t.Errorf("%q: content %q, rest %q, fields %s, trailers %s, %v", b, got, rest, show(&p.Fields), show(&p.Trailers), err)
		}
	})
}
