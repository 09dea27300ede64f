package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"portway/proxy/exchange"
	"portway/route"
)

// forwardOne gives what the origin would see of the forwarded family.
func forwardOne(s *Server, peer string, tls bool, host string, fields ...string) (lines []string, ip string) {
	return forwardOver(s, connFrom(peer, tls), host, fields...)
}

func connFrom(peer string, tls bool) *exchange.Conn {
	c := &exchange.Conn{Remote: netip.MustParseAddrPort(peer), Protocol: exchange.HTTP11}
	if tls {
		c.TLS = &tlsState
	}
	return c
}

// forwardOver is forwardOne over a connection that may have had other requests.
func forwardOver(s *Server, conn *exchange.Conn, host string, fields ...string) (lines []string, ip string) {
	ex := exchange.Get()
	defer exchange.Put(ex)
	ex.Conn = conn
	ex.Request.Authority = []byte(host)
	for i := 0; i+1 < len(fields); i += 2 {
		ex.Request.Fields.AddString(fields[i], fields[i+1])
	}
	ex.Trusted = s.trusted(plainAddr(ex.Conn.Remote.Addr()))
	from := s.identify(ex)
	s.setForwarded(ex, &from)
	for n, v := range ex.Request.Fields.All() {
		lines = append(lines, string(n)+": "+string(v))
	}
	slices.Sort(lines)
	return lines, ex.ClientIP.String()
}

func trusting(t *testing.T, prefixes ...string) *Server {
	t.Helper()
	cfg := Config{}
	for _, p := range prefixes {
		cfg.Trusted = append(cfg.Trusted, netip.MustParsePrefix(p))
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A changed settings file counts from the next request on.
func TestSetTrusted(t *testing.T) {
	t.Parallel()
	s := trusting(t, "10.0.0.0/8")
	for _, step := range []struct{ trusted, want string }{{"10.0.0.0/8", "192.0.2.7"}, {"172.16.0.0/12", "10.0.0.1"}, {"10.0.0.1/32", "192.0.2.7"}} {
		s.SetTrusted([]netip.Prefix{netip.MustParsePrefix(step.trusted)})
		if _, ip := forwardOne(s, "10.0.0.1:99", false, "a.test", "X-Forwarded-For", "192.0.2.7"); ip != step.want {
			t.Errorf("trusting %s: the client is %s, want %s", step.trusted, ip, step.want)
		}
	}
}

func TestForwarded(t *testing.T) {
	t.Parallel()
	s := trusting(t, "10.0.0.0/8", "2001:db8::/32")
	conns := make(map[string]*exchange.Conn) // what one request has left there changes no other
	// want is For | Proto | Host | Port | Real | Forwarded.
	for _, c := range []struct {
		name, peer string
		tls        bool
		host       string
		fields     []string
		want       string
		others     []string
	}{
		{
			"nothing given", "192.0.2.1:99", false, "a.test", nil,
			"192.0.2.1|http|a.test|80|192.0.2.1|for=192.0.2.1;host=a.test;proto=http", nil,
		},
		{
			"TLS, port in the host", "192.0.2.1:99", true, "a.test:8443", nil,
			`192.0.2.1|https|a.test:8443|8443|192.0.2.1|for=192.0.2.1;host="a.test:8443";proto=https`, nil,
		},
		{
			"a port that is none", "192.0.2.1:99", false, "a.test:x", nil,
			`192.0.2.1|http|a.test:x|80|192.0.2.1|for=192.0.2.1;host="a.test:x";proto=http`, nil,
		},
		{
			"IPv6, of the client and as a host", "[2001:beef::1%eth0]:99", true, "[::1]", nil,
			`2001:beef::1|https|[::1]|443|2001:beef::1|for="[2001:beef::1]";host="[::1]";proto=https`, nil,
		},
		{
			"IPv4 in IPv6 is IPv4", "[::ffff:192.0.2.1]:99", false, "a.test", nil,
			"192.0.2.1|http|a.test|80|192.0.2.1|for=192.0.2.1;host=a.test;proto=http", nil,
		},
		{
			"spoofed by a client, in every way", "192.0.2.1:99", false, "a.test",
			[]string{
				"X-Forwarded-For", "1.1.1.1", "x-forwarded-for", "10.0.0.1", "X_Forwarded_For", "1.1.1.1", "X-FORWARDED-PROTO", "https",
				"X-Forwarded-Host", "evil.test", "X-Forwarded-Port", "1", "X-Real-IP", "1.1.1.1", "X_Real-IP", "1.1.1.1",
				"Forwarded", "for=1.1.1.1", "X-Forwarded-Prefix", "/evil", "X-Forwarded-User", "admin", "X-Forwarded-Server", "x",
				"X-Forwarded-Proto", "https", "X-Forwarded", "for=1.1.1.1", "X-Forwarde", "kept", "Forwarded-For", "kept", "X-Other", "kept",
			},
			"192.0.2.1|http|a.test|80|192.0.2.1|for=192.0.2.1;host=a.test;proto=http",
			[]string{"Forwarded-For: kept", "X-Forwarde: kept", "X-Other: kept"},
		},
		{
			"trusted, one hop", "10.0.0.9:99", false, "a.test",
			[]string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "www.test", "X-Forwarded-Port", "8443"},
			"192.0.2.1, 10.0.0.9|https|www.test|8443|192.0.2.1|for=192.0.2.1;host=www.test;proto=https, for=10.0.0.9;host=a.test;proto=http", nil,
		},
		{
			"trusted: what is left of the client is appended to, but not believed", "10.0.0.9:99", false, "a.test",
			[]string{"X-Forwarded-For", "1.1.1.1, 192.0.2.1", "X-Forwarded-For", "10.1.1.1"},
			"1.1.1.1, 192.0.2.1, 10.1.1.1, 10.0.0.9|http|a.test|80|192.0.2.1|for=1.1.1.1;host=a.test;proto=http, for=192.0.2.1, for=10.1.1.1, for=10.0.0.9;host=a.test;proto=http", nil,
		},
		{
			"trusted, and all hops are", "10.0.0.9:99", false, "a.test",
			[]string{"X-Forwarded-For", "10.0.0.1, 10.0.0.2"},
			"10.0.0.1, 10.0.0.2, 10.0.0.9|http|a.test|80|10.0.0.1|for=10.0.0.1;host=a.test;proto=http, for=10.0.0.2, for=10.0.0.9;host=a.test;proto=http", nil,
		},
		{
			"trusted, garbage in the chain ends the walk", "10.0.0.9:99", false, "a.test",
			[]string{"X-Forwarded-For", "192.0.2.1, what, 10.0.0.2"},
			"192.0.2.1, what, 10.0.0.2, 10.0.0.9|http|a.test|80|10.0.0.2|for=192.0.2.1;host=a.test;proto=http, for=unknown, for=10.0.0.2, for=10.0.0.9;host=a.test;proto=http", nil,
		},
		{
			"trusted, addresses with ports", "10.0.0.9:99", false, "a.test",
			[]string{"X-Forwarded-For", "[2001:beef::1]:5, 10.0.0.2:6"},
			`[2001:beef::1]:5, 10.0.0.2:6, 10.0.0.9|http|a.test|80|2001:beef::1|for="[2001:beef::1]";host=a.test;proto=http, for=10.0.0.2, for=10.0.0.9;host=a.test;proto=http`, nil,
		},
		{
			"trusted, by RFC 7239", "10.0.0.9:99", true, "a.test",
			[]string{"Forwarded", `for=1.1.1.1;proto=https, For="[2001:beef::1]:77";HOST="www.test";proto=http`, "Forwarded", "for=10.0.0.2;by=_x"},
			`1.1.1.1, 2001:beef::1, 10.0.0.2, 10.0.0.9|http|www.test|80|2001:beef::1|for=1.1.1.1;proto=https, For="[2001:beef::1]:77";HOST="www.test";proto=http, for=10.0.0.2;by=_x, for=10.0.0.9;host=a.test;proto=https`, nil,
		},
		{
			"trusted, by both: a proxy that writes the one may pass on the other from its client", "10.0.0.9:99", false, "a.test",
			[]string{"X-Forwarded-For", "192.0.2.1", "Forwarded", "for=6.6.6.6;host=evil.test"},
			"192.0.2.1, 10.0.0.9|http|a.test|80|192.0.2.1|for=192.0.2.1;host=a.test;proto=http, for=10.0.0.9;host=a.test;proto=http", nil,
		},
		{
			"trusted, broken RFC 7239", "10.0.0.9:99", false, "a.test",
			[]string{"Forwarded", `for="1.1.1.1`},
			"10.0.0.9|http|a.test|80|10.0.0.9|for=10.0.0.9;host=a.test;proto=http", nil,
		},
		{
			"trusted, hidden client", "10.0.0.9:99", false, "a.test",
			[]string{"Forwarded", `for=_hidden, for=unknown`},
			"unknown, unknown, 10.0.0.9|http|a.test|80|10.0.0.9|for=_hidden, for=unknown, for=10.0.0.9;host=a.test;proto=http", nil,
		},
		{
			"trusted, values that are none", "10.0.0.9:99", false, "a.test",
			[]string{"X-Forwarded-For", "", "X-Forwarded-Proto", "gopher", "X-Forwarded-Host", "a b", "X-Forwarded-Port", "70000"},
			"10.0.0.9|http|a.test|80|10.0.0.9|for=10.0.0.9;host=a.test;proto=http", nil,
		},
		{
			"trusted: other words of the family pass, look-alikes do not", "10.0.0.9:99", false, "a.test",
			[]string{"X-Forwarded-Prefix", "/app", "X_Forwarded_Proto", "https", "X-Forwarded-Proto", "wss, http"},
			"10.0.0.9|https|a.test|443|10.0.0.9|for=10.0.0.9;host=a.test;proto=https",
			[]string{"X-Forwarded-Prefix: /app"},
		},
	} {
		key := fmt.Sprint(c.peer, c.tls)
		if conns[key] == nil {
			conns[key] = connFrom(c.peer, c.tls)
			conns[key].Told = new(exchange.Told)
		}
		conn := conns[key]
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := strings.Split(c.want, "|")
			want := append([]string{
				"X-Forwarded-For: " + w[0], "X-Forwarded-Proto: " + w[1], "X-Forwarded-Host: " + w[2],
				"X-Forwarded-Port: " + w[3], "X-Real-IP: " + w[4], "Forwarded: " + w[5],
			}, c.others...)
			slices.Sort(want)
			for range 3 {
				got, ip := forwardOver(s, conn, c.host, c.fields...)
				if !slices.Equal(got, want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if ip != w[4] {
					t.Errorf("client is %s, want %s", ip, w[4])
				}
			}
		})
	}
}

// The whole way: what a client claims, in both protocols, and what arrives.
func TestForwardedThroughTheListener(t *testing.T) {
	t.Parallel()
	o := originAt(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Host, "|", strings.Join(r.Header["X-Forwarded-For"], "/"), "|", strings.Join(r.Header["X-Forwarded-Proto"], "/"), "|",
			strings.Join(r.Header["Forwarded"], "/"), "|", r.Header.Get("X-Real-Ip"), "|", r.Header.Get("X-Kept"))
	})
	for _, c := range []struct {
		name    string
		options []option
		url     string
		want    string
	}{
		{"untrusted, plain", nil, "http://a.test/", "a.test|127.0.0.1|http|for=127.0.0.1;host=a.test;proto=http|127.0.0.1|1"},
		{"untrusted, HTTP/2", nil, "https://a.test/", "a.test|127.0.0.1|https|for=127.0.0.1;host=a.test;proto=https|127.0.0.1|1"},
		{
			"trusted",
			[]option{trustLoopback},
			"http://a.test/",
			"a.test|6.6.6.6, 127.0.0.1|https|for=6.6.6.6;host=evil.test;proto=https, for=127.0.0.1;host=a.test;proto=http|6.6.6.6|1",
		},
	} {
		i := serve(t, []*route.Route{at("a.test", o)}, c.options...)
		_, got := get(t, i.client(t), c.url, "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https",
			"X-Forwarded-Host", "evil.test", "Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "X-Kept", "1")
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestForwardedDoesNotAllocate(t *testing.T) {
	s := trusting(t, "10.0.0.0/8")
	ex := exchange.Get()
	ex.Conn = &exchange.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:99"), TLS: &tlsState}
	ex.Request.Authority = []byte("a.test:8443")
	ex.Start = time.Now()
	spoof := []byte("1.1.1.1")
	name := []byte("X-Forwarded-For")
	work := func() {
		ex.Memory = ex.Memory[:0]
		ex.Request.Fields.Reset()
		ex.Request.Fields.Add(name, spoof)
		from := s.identify(ex)
		s.setForwarded(ex, &from)
	}
	work()
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
