package middleware_test

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"portway/proxy"
	"portway/proxy/middleware"
	"portway/route"
)

// nine is what portway-full has on in bench/.
var nine = map[string]string{
	"portway.request-id":       "true",
	"portway.response-headers": "X-Served-By: bench",
	"portway.security-headers": "true",
	"portway.hsts":             "true",
	"portway.ip.deny":          "203.0.113.0/24",
	"portway.cors":             "https://app.example.com",
	"portway.rate-limit":       "1000000/1s",
	"portway.max-in-flight":    "10000",
	"portway.request-headers":  "X-Client: {client_ip}",
}

// asker gives a function that sends one request through a proxy with these middleware
// over a connection that stays, and waits for the answer. Neither it nor the origin
// allocates.
func asker(t testing.TB, labels map[string]string) func() {
	t.Helper()
	origin := bareOrigin(t)
	l, err := proxy.Listen([]string{"127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := proxy.New(proxy.Config{Listeners: l, Drain: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Run(t.Context()) }()
	labels = maps.Clone(labels)
	maps.Copy(labels, map[string]string{"portway.host": "app.example.com", "portway.https": "off"})
	routes, problems := route.NewParser(middleware.All).Labels("bench", labels)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r := *routes[0].Route
	r.ID = "app"
	r.Upstreams = []route.Upstream{{ID: "o", Name: "o", Network: "tcp", Address: origin, Scheme: route.HTTP}}
	s.SetTable(route.NewTable([]*route.Route{&r}, nil))
	conn, err := net.Dial("tcp", l.HTTP()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	request := []byte("GET /path?query=1 HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n\r\n")
	buf := make([]byte, 16<<10)
	end := []byte(pageEnd)
	return func() {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		for n := 0; !bytes.HasSuffix(buf[:n], end); {
			m, err := conn.Read(buf[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
	}
}

// Nothing is allocated for a request on its whole way, with all that bench/ has on.
func TestNineMiddlewareAllocateNothing(t *testing.T) {
	if middleware.RaceEnabled {
		t.Skip("the race detector drops pooled memory")
	}
	ask := asker(t, nine)
	for range 100 {
		ask()
	}
	if n := testing.AllocsPerRun(2000, ask); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
}

// BenchmarkThroughListener shows the processor time of a request over one connection,
// with all that client and origin spend, which is the same with and without middleware.
func BenchmarkThroughListener(b *testing.B) {
	for name, labels := range map[string]map[string]string{"none": {}, "nine": nine} {
		b.Run(name, func(b *testing.B) {
			ask := asker(b, labels)
			for range 1000 {
				ask()
			}
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				ask()
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const pageEnd = "</html>\n"

// bareOrigin answers every request on a connection with one page, at next to no cost.
func bareOrigin(b testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	page := strings.Repeat("x", 1000) + pageEnd
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\nServer: origin\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				buf := make([]byte, 8<<10)
				n := 0
				for {
					m, err := c.Read(buf[n:])
					if err != nil {
						return
					}
					if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
						n = 0
						if _, err := c.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
