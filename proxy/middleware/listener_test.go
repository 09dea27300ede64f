package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/textproto"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"portway/label"
	"portway/proxy"
	"portway/proxy/middleware"
	"portway/route"
)

// TestGoldenThroughListener sends the requests of the golden cases over the wire, through
// the whole proxy to a real server, and wants the same of them. Left out are those that
// need another time, a client without an address, or a path that the front refuses, and
// cases with problems.
func TestGoldenThroughListener(t *testing.T) {
	t.Parallel()
	w := startWire(t)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{} // by request
		wanted := string(part(a, "want"))
		if strings.HasPrefix(wanted, "test: ") || regexp.MustCompile(`(?m)^(:after|:held):|^:client: none`).Match(txtar.Format(a)) {
			continue
		}
		for section := range strings.SplitSeq("\n"+wanted, "\n# ") {
			title, text, _ := strings.Cut(section, "\n")
			want[title] = text
		}
		var labels map[string]string
		if err := yaml.Unmarshal(part(a, "labels"), &labels); err != nil {
			t.Fatal(err)
		}
		service := middleware.StartService(t, a)
		for l, value := range labels {
			labels[l] = service.Place(value)
		}
		w.serve(t, labels, string(part(a, "origin")), hostsOf(a))
		for _, f := range a.Files {
			target, _, _ := strings.Cut(string(f.Data), "\n")
			if !middleware.IsRequest(f.Name) || strings.Contains(target, `\`) {
				continue
			}
			service.Expect(t, string(f.Data))
			got := w.exchange(t, string(f.Data))
			got = service.Asked() + got
			if g, n := normal(got), normal(want[f.Name]); g != n {
				t.Errorf("%s, %s:\n got:\n%s\nwant:\n%s", filepath.Base(name), f.Name, g, n)
			}
		}
		for l := range labels {
			first, _, _ := strings.Cut(strings.TrimPrefix(l, "portway."), ".")
			used[first] = true
		}
	}
	for _, o := range label.Describe(middleware.All()...).Options() {
		first, _, _ := strings.Cut(o.Name, ".")
		if !used[first] && first != "max-in-flight" {
			t.Errorf("%s was not tried", first)
		}
	}
}

func part(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// hostsOf is what the requests of a case ask for.
func hostsOf(a *txtar.Archive) string {
	hosts := map[string]bool{"app.example.com": true}
	for _, m := range regexp.MustCompile(`(?m)^Host: ([^:\s]+)`).FindAllSubmatch(txtar.Format(a), -1) {
		hosts[strings.ToLower(string(m[1]))] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(hosts)), ", ")
}

// wire is a proxy with an origin behind it.
type wire struct {
	server  *proxy.Server
	address string
	origin  *httptest.Server
	tables  int

	mu        sync.Mutex
	answer    string
	forwarded string // what the origin got
	log       bytes.Buffer
}

// Write takes the proxy's log.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// logged is what the proxy has logged since it was asked last.
func (w *wire) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.log.Reset()
	return w.log.String()
}

func startWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{}
	w.origin = httptest.NewServer(http.HandlerFunc(w.answerAll))
	t.Cleanup(w.origin.Close)
	l, err := proxy.Listen([]string{"127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.HTTP()[0].String()
	w.server, err = proxy.New(proxy.Config{
		HTTP: []string{w.address}, Listeners: l, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Drain: time.Second,
		Logger: slog.New(slog.NewTextHandler(w, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// serve has a route with these labels served, which is a new one each time.
func (w *wire) serve(t *testing.T, labels map[string]string, answer, hosts string) {
	t.Helper()
	if answer == "" {
		answer = "200\nContent-Type: text/plain\n\nHello.\n"
	}
	w.mu.Lock()
	w.answer = answer
	w.mu.Unlock()
	labels = maps.Clone(labels)
	labels["portway.host"] = hosts
	w.server.SetTable(route.NewTable([]*route.Route{w.route(t, labels, w.origin.Listener.Addr().String())}, nil))
}

// route makes a new route with one upstream.
func (w *wire) route(t *testing.T, labels map[string]string, upstream string) *route.Route {
	t.Helper()
	labels = maps.Clone(labels)
	labels["portway.https"] = "off"
	routes, problems := route.NewParser(middleware.All).Labels("test", labels)
	if len(problems) > 0 || len(routes) != 1 || routes[0].Route == nil {
		t.Fatal(problems, routes)
	}
	r := *routes[0].Route
	w.tables++
	r.ID, r.Name = fmt.Sprint(w.tables), "app"
	r.Upstreams = []route.Upstream{{ID: upstream, Name: upstream, Network: "tcp", Address: upstream, Scheme: route.HTTP}}
	return &r
}

// client speaks to the proxy, whatever the host.
func (w *wire) client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.address)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answerAll is the origin.
func (w *wire) answerAll(rw http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	fmt.Fprintf(&b, "> %s %s\n> Host: %s\n", r.Method, r.RequestURI, r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			fmt.Fprintf(&b, "> %s: %s\n", name, v)
		}
	}
	content, err := io.ReadAll(r.Body)
	if len(content) > 0 {
		fmt.Fprintf(&b, "> | %s\n", content)
	}
	if err != nil {
		fmt.Fprintf(&b, "> (broken off: the request's content is larger than max-body allows)\n")
	}
	w.mu.Lock()
	w.forwarded = b.String()
	answer := w.answer
	w.mu.Unlock()

	head, text, hasBody := strings.Cut(answer, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	h := rw.Header()
	h["Date"], h["Content-Type"] = nil, nil
	chunked := false
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		if chunked = chunked || name == ""; name != "" {
			name = textproto.CanonicalMIMEHeaderKey(name)
			h[name] = append(h[name], strings.TrimSpace(value))
		}
	}
	text = strings.TrimSuffix(text, "\n")
	if hasBody && !chunked {
		h.Set("Content-Length", fmt.Sprint(len(text)))
	}
	var status int
	_, _ = fmt.Sscan(lines[0], &status)
	rw.WriteHeader(status)
	if chunked {
		_ = http.NewResponseController(rw).Flush()
	}
	_, _ = io.WriteString(rw, text)
}

// exchange sends a request as the golden cases have it, and tells what came of it.
func (w *wire) exchange(t *testing.T, text string) string {
	t.Helper()
	head, content, hasBody := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	method, _, _ := strings.Cut(lines[0], " ")
	host, client, scheme, chunked := "app.example.com", "192.0.2.1", "https", false
	var fields strings.Builder
	for _, l := range lines[1:] {
		at := strings.Index(l[1:], ":") + 1
		name, value := l[:at], strings.TrimSpace(l[at+1:])
		switch name {
		case ":client":
			client = value
		case ":scheme":
			scheme = value
		case ":chunked":
			chunked = true
		case ":service":
		case "Host":
			host = value
		default:
			fmt.Fprintf(&fields, "%s: %s\r\n", name, value)
		}
	}
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\nX-Forwarded-Proto: %s\r\n%s", lines[0], host, client, scheme, fields.String())
	content = strings.TrimSuffix(content, "\n")
	switch {
	case hasBody && chunked:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(content), content)
	case hasBody:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(content), content)
	default:
		b.WriteString("\r\n")
	}
	w.mu.Lock()
	w.forwarded = ""
	w.mu.Unlock()
	if _, err := c.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out strings.Builder
	fmt.Fprintf(&out, "< %d\n", resp.StatusCode)
	for name, values := range resp.Header {
		for _, v := range values {
			fmt.Fprintf(&out, "< %s: %s\n", name, v)
		}
	}
	if resp.ContentLength > 0 {
		fmt.Fprintf(&out, "< (length %d)\n", resp.ContentLength)
	}
	for line := range strings.Lines(decoded(t, resp)) {
		fmt.Fprintf(&out, "< | %s\n", strings.TrimSuffix(line, "\n"))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.forwarded + out.String()
}

func decoded(t *testing.T, resp *http.Response) string {
	t.Helper()
	var r io.Reader = resp.Body
	var err error
	switch resp.Header.Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	requestID = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	newTrace  = regexp.MustCompile(`00-[0-9a-f]{32}-REQUEST-ID-01`)
	// onlyOnWire is what belongs to a connection, or is there for the proxy to write.
	onlyOnWire = regexp.MustCompile(`(?i)^[<>] (date|content-length|connection|x-forwarded-(for|host|port|proto)|forwarded|x-real-ip|user-agent|transfer-encoding):?`)
	fieldLine  = regexp.MustCompile(`^([<>] )([^ :]+)(: )`)
)

// normal is what counts of an exchange: without what only wires have, fields in one
// order and way of writing. Of a request that was broken off, the answer counts.
func normal(text string) string {
	text = requestID.ReplaceAllString(text, "REQUEST-ID")
	text = newTrace.ReplaceAllString(text, "00-TRACE-ID-REQUEST-ID-01")
	if strings.Contains(text, "> (broken off") {
		text = text[strings.Index(text, "< "):]
	}
	var fields, rest []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		switch {
		case onlyOnWire.MatchString(line):
		case fieldLine.MatchString(line):
			m := fieldLine.FindStringSubmatch(line)
			fields = append(fields, m[1]+textproto.CanonicalMIMEHeaderKey(m[2])+strings.TrimRight(line[len(m[1])+len(m[2]):], " "))
		default:
			rest = append(rest, line)
		}
	}
	slices.Sort(fields)
	return strings.Join(append(rest, fields...), "\n")
}
