package middleware

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"portway/label"
	"portway/proxy/exchange"
)

// parse binds values to all middleware; keys are as in labels.
func parse(values label.Values) ([]label.Binder, []label.Problem) {
	binders := All()
	problems := label.Parse("test", func(o string) string { return label.Key("", o) }, values, binders...)
	return binders, problems
}

// chain builds what a route with these labels goes through on the way to origin.
func chain(t testing.TB, values label.Values, origin exchange.HandlerFunc) exchange.Handler {
	t.Helper()
	binders, problems := parse(values)
	for _, p := range problems {
		t.Fatal(p)
	}
	return wrap(binders, origin)
}

func wrap(binders []label.Binder, origin exchange.Handler) exchange.Handler {
	h := origin
	for _, b := range slices.Backward(binders) {
		h = b.(Middleware).Wrap(h)
	}
	return h
}

// noon is when tests happen.
var noon = time.Now()

// request is what a test sends: a method and target, then lines of fields, then,
// behind an empty line, content. Fields whose names begin with ":" say what is known of
// the request otherwise.
//
//	:client   the client's address, 192.0.2.1 if not given; "none" if it is not known
//	:scheme   https, if not given
//	:after    time since noon
//	:held     the request stays in flight
//	:service  which answer the service gives
//	:chunked  the length of the content is not known before its end
func request(t testing.TB, text string) *exchange.Exchange {
	t.Helper()
	ex := exchange.Get()
	q := &ex.Request
	head, content, hasBody := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	path, query, hasQuery := strings.Cut(target, "?")
	q.Method, q.Path, q.Query, q.HasQuery = []byte(method), []byte(path), []byte(query), hasQuery
	q.Authority = []byte("app.example.com")
	ex.Start = noon
	ex.ClientIP = netip.MustParseAddr("192.0.2.1")
	ex.Conn = &exchange.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:1234"), Protocol: exchange.HTTP11}
	ex.RouteName = "app"
	scheme, chunked := "https", false
	for _, line := range lines[1:] {
		at := strings.Index(line[1:], ":") + 1
		name, value := line[:at], strings.TrimSpace(line[at+1:])
		switch name {
		case ":client":
			if ex.ClientIP = (netip.Addr{}); value != "none" {
				ex.ClientIP = netip.MustParseAddr(value)
			}
		case ":scheme":
			scheme = value
		case ":after":
			d, err := time.ParseDuration(value)
			if err != nil {
				t.Fatal(err)
			}
			ex.Start = noon.Add(d)
		case ":chunked":
			chunked = true
		case ":held", ":service":
		case "Host":
			q.Authority = []byte(value)
		default:
			q.Fields.Add([]byte(name), []byte(value))
		}
	}
	ex.Scheme = scheme
	q.Fields.AddString("X-Forwarded-Proto", scheme) // the proxy sets it before any middleware
	if hasBody {
		content = strings.TrimSuffix(content, "\n")
		q.Length = int64(len(content))
		q.Body = exchange.BytesBody([]byte(content))
		if chunked {
			q.Length = exchange.LengthUnknown
		}
	}
	return ex
}

// finish ends an exchange as a front does.
func finish(ex *exchange.Exchange) {
	ex.Finish(0, nil)
	exchange.Put(ex)
}

// response fills in what an origin answers: a status, lines of fields, and content.
// The pseudo field ":chunked" leaves its length open.
func response(ex *exchange.Exchange, text string) {
	p := &ex.Response
	head, content, hasBody := strings.Cut(text, "\n\n")
	r := bufio.NewScanner(strings.NewReader(head))
	r.Scan()
	_, _ = fmt.Sscan(r.Text(), &p.Status)
	chunked := false
	for r.Scan() {
		at := strings.Index(r.Text()[1:], ":") + 1
		name, value := r.Text()[:at], strings.TrimSpace(r.Text()[at+1:])
		if name == ":chunked" {
			chunked = true
			continue
		}
		p.Fields.AddString(name, value)
	}
	if !hasBody {
		return
	}
	content = strings.TrimSuffix(content, "\n")
	p.Length = int64(len(content))
	if string(ex.Request.Method) == "HEAD" {
		return
	}
	p.Body = exchange.BytesBody([]byte(content))
	if chunked {
		p.Length = exchange.LengthUnknown
	}
}

// content reads the response to its end, and decodes it.
func content(t testing.TB, ex *exchange.Exchange) string {
	t.Helper()
	p := &ex.Response
	if p.Body == nil {
		return ""
	}
	b, err := io.ReadAll(p.Body)
	if err != nil {
		t.Fatal(err)
	}
	if p.Length >= 0 && p.Length != int64(len(b)) {
		t.Errorf("length is %d, content has %d", p.Length, len(b))
	}
	return decode(t, string(p.Fields.Get("content-encoding")), b)
}

func decode(t testing.TB, encoding string, b []byte) string {
	t.Helper()
	var r io.Reader
	var err error
	switch encoding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(b))
	case "br":
		r = brotli.NewReader(bytes.NewReader(b))
	case "zstd":
		r, err = zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxMemory(8<<20))
	default:
		return string(b) // not by us
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", encoding, err)
	}
	return string(text)
}
