package proxy

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

var tlsState tls.ConnectionState

func TestParseForwarded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{`for=192.0.2.43`, `[192.0.2.43 - -]`},
		{`For="[2001:db8:cafe::17]:4711"`, `[[2001:db8:cafe::17]:4711 - -]`},
		{`for=192.0.2.60;proto=http;by=203.0.113.43`, `[192.0.2.60 - http]`},
		{`for=192.0.2.43, for=198.51.100.17`, `[192.0.2.43 - -][198.51.100.17 - -]`},
		{`for="_gazonk";host="a;b,c=d"`, `[_gazonk a;b,c=d -]`},
		{`for="a\"b\\c"`, `[a"b\c - -]`},
		{`proto=https`, `[- - https]`},
		{`for=a ; proto=b ,for=c`, `[a - b][c - -]`},
		{``, ``},
		{`for`, ``},
		{`for=`, ``},
		{`=a`, ``},
		{`for="a`, ``},
		{`for="a\`, ``},
		{`for=a;`, ``},
		{`for=a,`, ``},
		{`for=a;for=b`, ``},
		{`for=a b`, ``},
		{`for =a`, ``},
		{`for=[::1]`, ``},
		{`for=a,,for=b`, ``},
		{`for="a"b`, ``},
		{strings.Repeat("for=a,", maxElements) + "for=a", ``},
	} {
		elements, ok := parseForwarded([]byte(c.in))
		var got strings.Builder
		dash := func(b []byte) string {
			if b == nil {
				return "-"
			}
			return string(b)
		}
		for _, e := range elements {
			_, _ = fmt.Fprintf(&got, "[%s %s %s]", dash(e.node), dash(e.host), dash(e.proto))
		}
		if got.String() != c.want || ok != (c.want != "") {
			t.Errorf("%.80s: got %s, %v; want %s", c.in, &got, ok, c.want)
		}
	}
}

// FuzzForwarded tries to get past the wall: whatever an untrusted client sends,
// the origin sees only what we know; whatever a trusted one sends, the fields are
// well-formed, there is one of each, and the last hop is the peer.
func FuzzForwarded(f *testing.F) {
	for _, seed := range [][3]string{
		{"X-Forwarded-For", "1.1.1.1, 10.0.0.1", "a.test"},
		{"Forwarded", `for="[::1]:1";proto=https;host="x"`, "a.test:80"},
		{"x_forwarded_host", `"`, `a"b;c`},
		{"X-Forwarded-Port", "0", "[::1]:"},
		{"X-Real-IP", "::ffff:1.2.3.4%eth0", ""},
		{"X-Forwarded-For", ",,, ,", ":"},
	} {
		f.Add(seed[0], seed[1], seed[2], true)
		f.Add(seed[0], seed[1], seed[2], false)
	}
	s, err := New(Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value, host string, trusted bool) {
		peer := "192.0.2.1"
		if trusted {
			peer = "10.1.2.3"
		}
		lines, ip := forwardOne(s, peer+":9", false, host, name, value, "X-Forwarded-For", value, "X-Forwarded-Host", value, "X-Forwarded-Proto", value)
		seen := map[string]string{}
		for _, line := range lines {
			n, v, _ := strings.Cut(line, ": ")
			key := strings.ReplaceAll(strings.ToLower(n), "_", "-")
			if _, twice := seen[key]; twice && ours([]byte(n), nil) {
				t.Fatalf("%q twice in %q", n, lines)
			}
			seen[key] = v
		}
		if !trusted {
			if seen["x-forwarded-for"] != peer || seen["x-real-ip"] != peer || ip != peer || seen["x-forwarded-proto"] != "http" || seen["x-forwarded-host"] != host {
				t.Fatalf("a client got through: %q, client %s", lines, ip)
			}
			for key := range seen {
				if family([]byte(key), nil) && !ours([]byte(key), nil) {
					t.Fatalf("a client got through: %q", lines)
				}
			}
		}
		if !strings.HasSuffix(seen["x-forwarded-for"], peer) {
			t.Fatalf("the last hop is not the peer: %q", lines)
		}
		if p := seen["x-forwarded-proto"]; p != "http" && p != "https" {
			t.Fatalf("proto %q", p)
		}
		if _, err := netip.ParseAddr(ip); err != nil {
			t.Fatalf("client %q", ip)
		}
		for _, c := range []byte(host) {
			if c < ' ' || c >= 0x7f {
				return // the front lets no such host through
			}
		}
		if strings.Count(value, ",")+2 < maxElements {
			elements, ok := parseForwarded([]byte(seen["forwarded"]))
			if !ok || string(elements[len(elements)-1].node) != peer {
				t.Fatalf("Forwarded is not well-formed: %q", seen["forwarded"])
			}
		}
	})
}

func TestParseNode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.0.2.1:80": "192.0.2.1", "::1": "::1", "[::1]": "::1", "[::1]:80": "::1",
		"::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1",
		"": "", "[": "", "[]": "", "unknown": "", "_x": "", "1.2.3": "", "1.2.3.4:99999": "", strings.Repeat("1", 65): "",
	} {
		addr, ok := parseNode([]byte(in))
		if ok != (want != "") || ok && addr.String() != want {
			t.Errorf("parseNode(%q) = %v, %v; want %q", in, addr, ok, want)
		}
	}
}
