package cache_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// An application that builds its pages of whatever a request says must not let one client
// put something into what others get: what is not part of the key either does not reach
// it, or takes the request past the cache.
func TestPoison(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Prefix",
		"X-Forwarded-Path", "X-Forwarded-Uri", "X-Forwarded-Ssl", "X-Forwarded-Proto-Version", "X-Forwarded", "X-Forwarded-By", "X_Forwarded_Host",
		"X-Forwarded-For", "Forwarded", "X-Real-IP",
		"X-Host", "X-Original-Host", "X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Proxy-URL", "X-Request-URI", "X_Original_URL",
		"X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Host-Override", "X-HTTP-DestinationURL",
		"X-Scheme", "X-URL-Scheme", "Front-End-Https", "X-Server-Name", "X-Backend-Host", "Proxy-Host",
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			s := serve(t, echo())
			resp, evil := s.do(t, http.MethodGet, "/", field+": evil.test")
			if strings.Contains(evil, "evil") && !strings.Contains(resp.Header.Get("Cache-Status"), "fwd=bypass") {
				t.Errorf("the origin got it, by way of the cache: %s, %q", evil, resp.Header)
			}
			if _, victim := s.do(t, http.MethodGet, "/"); strings.Contains(victim, "evil") {
				t.Errorf("somebody else got %s", victim)
			}
			// Nor does such a request get what is not for it.
			if _, evil := s.do(t, http.MethodGet, "/", field+": evil.test"); !strings.Contains(evil, "GET /") {
				t.Errorf("the second time: %s", evil)
			}
		})
	}
}

// echo answers with all that it was told, to be kept by everybody.
func echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s of %s, %q\n", r.Method, r.RequestURI, r.Host, b)
		var names []string
		for name := range r.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			_, _ = fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
		}
	})
}

// Requests that are the same by their address but not by what else an origin may go by.
func TestPoisonByRequest(t *testing.T) {
	t.Parallel()
	const plain = "GET / HTTP/1.1\r\nHost: cache.test\r\n"
	for name, evil := range map[string]string{
		"a content":                plain + "Content-Length: 4\r\n\r\nevil",
		"a chunked content":        plain + "Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
		"another port":             "GET / HTTP/1.1\r\nHost: cache.test:6666\r\n\r\n",
		"an absolute address":      "GET http://cache.test:6666/ HTTP/1.1\r\nHost: cache.test\r\n\r\n",
		"another path, escaped":    "GET /%2e/ HTTP/1.1\r\nHost: cache.test\r\n\r\n",
		"a query without contents": "GET /? HTTP/1.1\r\nHost: cache.test\r\n\r\n",
		"a parameter of the path":  "GET /;evil HTTP/1.1\r\nHost: cache.test\r\n\r\n",
		"another protocol":         plain + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n",
		"HEAD":                     "HEAD / HTTP/1.1\r\nHost: cache.test\r\nEvil: evil\r\n\r\n",
		"another method":           "POST / HTTP/1.1\r\nHost: cache.test\r\nContent-Length: 4\r\n\r\nevil",
		"lower case":               "get / HTTP/1.1\r\nHost: cache.test\r\nEvil: evil\r\n\r\n",
		"a part":                   plain + "Range: bytes=0-3\r\n\r\n",
		"a precondition":           plain + "If-Match: \"evil\"\r\n\r\n",
		"authorization":            plain + "Authorization: Basic evil\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, echo())
			c, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := io.WriteString(c, evil); err != nil {
				t.Fatal(err)
			}
			method, _, _ := strings.Cut(evil, " ")
			resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			victim, content := s.do(t, http.MethodGet, "/")
			if !strings.HasPrefix(content, "GET / of cache.test, \"\"\n") || strings.Contains(content, "evil") || victim.StatusCode != http.StatusOK {
				t.Errorf("somebody else got %d %s", victim.StatusCode, content)
			}
		})
	}
}
