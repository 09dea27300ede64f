package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"portway/route"
)

// fromLoopback believes PROXY headers from all of loopback but 127.0.0.9.
var fromLoopback = withConfig(func(cfg *Config) {
	cfg.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/29"), netip.MustParsePrefix("::1/128")}
})

// dialFrom opens a connection from an address of ours.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func version2(t *testing.T, source string) string {
	t.Helper()
	to := netip.MustParseAddrPort("192.0.2.1:443")
	if strings.HasPrefix(source, "[") {
		to = netip.MustParseAddrPort("[2001:db8::1]:443")
	}
	h := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source)),
		net.TCPAddrFromAddrPort(to))
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The client is whom a trusted load balancer announces; nobody else can
// announce anybody.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	}))}, fromLoopback)
	const local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" // version 2, a health check of the balancer's own
	for _, tt := range []struct {
		name, from, header string
		want               string // X-Forwarded-For; empty: refused
	}{
		{"version 1", "127.0.0.1", "PROXY TCP4 198.51.100.7 192.0.2.1 4242 443\r\n", "198.51.100.7"},
		{"version 1, IPv6", "127.0.0.1", "PROXY TCP6 2001:db8::7 2001:db8::1 4242 443\r\n", "2001:db8::7"},
		{"version 1, unknown", "127.0.0.1", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"version 2", "127.0.0.1", version2(t, "198.51.100.8:4242"), "198.51.100.8"},
		{"version 2, IPv6", "127.0.0.1", version2(t, "[2001:db8::9]:1"), "2001:db8::9"},
		{"version 2, local", "127.0.0.1", local, "127.0.0.1"},
		{"version 2, from a unix socket", "127.0.0.1", "\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("/", 216), "127.0.0.1"},
		{"none from a load balancer", "127.0.0.1", "", ""},
		{"garbage", "127.0.0.1", "PROXY nonsense\r\n", ""},
		{"address that is none", "127.0.0.1", "PROXY TCP4 1.2.3.4.5 192.0.2.1 4242 443\r\n", ""},
		{"endless line", "127.0.0.1", "PROXY TCP4 " + strings.Repeat("1", 300), ""},
		{"version 2, cut short", "127.0.0.1", version2(t, "198.51.100.8:4242")[:14] + "\xff\xff", ""},
		{"not trusted, none", "127.0.0.9", "", "127.0.0.9"},
		{"not trusted, version 1", "127.0.0.9", "PROXY TCP4 198.51.100.7 192.0.2.1 4242 443\r\n", ""},
		{"not trusted, version 2", "127.0.0.9", version2(t, "198.51.100.8:4242"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, secure := range []bool{false, true} {
				got := ""
				if secure {
					got = overTLS(t, i, tt.from, tt.header)
				} else {
					c := dialFrom(t, tt.from, i.http)
					_, _ = io.WriteString(c, tt.header)
					got = ask(c)
				}
				if got != tt.want {
					t.Errorf("TLS %v: the client is %q, want %q", secure, got, tt.want)
				}
			}
		})
	}
}

func overTLS(t *testing.T, i *instance, from, header string) string {
	c := dialFrom(t, from, i.https)
	_, _ = io.WriteString(c, header)
	secure := tls.Client(c, &tls.Config{RootCAs: i.certs.roots, ServerName: "a.test"})
	if secure.Handshake() != nil {
		return ""
	}
	return ask(secure)
}

// ask sends a request and returns the body of a good answer.
func ask(c net.Conn) string {
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// Who is slow to say whom it speaks for delays nobody else, and is let go; at the
// end, it is not waited for.
func TestProxyProtocolSlow(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	}))}, fromLoopback)
	start := time.Now()
	slow := dialFrom(t, "127.0.0.1", i.http)
	_, _ = io.WriteString(slow, version2(t, "198.51.100.8:4242")[:20])
	c := dialFrom(t, "127.0.0.2", i.http)
	_, _ = io.WriteString(c, "PROXY TCP4 198.51.100.7 192.0.2.1 4242 443\r\n")
	if got := ask(c); got != "198.51.100.7" || time.Since(start) > headerTime/2 {
		t.Errorf("after %v, another got %q", time.Since(start), got)
	}
	if _, err := slow.Read(make([]byte, 1)); err != io.EOF && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the slow one got %v", err)
	}
	if d := time.Since(start); d < headerTime || d > 3*headerTime {
		t.Errorf("it was let go after %v", d)
	}
	slow = dialFrom(t, "127.0.0.1", i.http)
	_, _ = io.WriteString(slow, version2(t, "198.51.100.8:4242")[:20])
	start = time.Now()
	if err := i.stop(); err != nil || time.Since(start) > headerTime/2 {
		t.Errorf("Run took %v to end: %v", time.Since(start), err)
	}
}
