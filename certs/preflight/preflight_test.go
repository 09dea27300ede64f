package preflight

import (
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone is what a DNS server of the test knows, in the form of zone files.
type zone []string

// serve runs a DNS server on loopback. A name that is not in the zone, nor above one
// that is, does not exist; one that begins with "broken" is answered SERVFAIL, and one that
// begins with "old" does not exist where IPv6 addresses are asked for.
func (z zone) serve(t *testing.T) (address string) {
	t.Helper()
	var records []dns.RR
	for _, line := range z {
		r, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		asked := q.Question[0]
		exists := false
		for _, r := range records {
			name := r.Header().Name
			exists = exists || name == asked.Name || dns.IsSubDomain(asked.Name, name)
			if name == asked.Name && r.Header().Rrtype == asked.Qtype {
				m.Answer = append(m.Answer, r)
			}
		}
		switch {
		case strings.HasPrefix(asked.Name, "broken"):
			m.Rcode = dns.RcodeServerFailure
		case !exists, strings.HasPrefix(asked.Name, "old") && asked.Qtype == dns.TypeAAAA:
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: handler}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// fakeCA is a directory that names itself and has a clock of its own.
func fakeCA(t *testing.T, ahead time.Duration, identities ...string) (directory string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		_ = json.NewEncoder(w).Encode(map[string]any{"meta": map[string]any{"caaIdentities": identities}})
	}))
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.URL, roots
}

// port is a free one, where handler answers if it is not nil.
func port(t *testing.T, handler http.Handler) int {
	t.Helper()
	s := httptest.NewServer(handler)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	if handler == nil {
		s.Close()
	} else {
		t.Cleanup(s.Close)
	}
	return n
}

func TestCheck(t *testing.T) {
	t.Parallel()
	server := zone{
		"good.example.com. 60 IN A 127.0.0.1",
		"old.example.com. 60 IN A 127.0.0.1",
		"empty.example.com. 60 IN TXT x",
		"a.caa.example.org. 60 IN A 127.0.0.1",
		`caa.example.org. 60 IN CAA 0 issue "other.example"`,
		`caa.example.org. 60 IN CAA 0 issuewild "ca.example; accounturi=x"`,
		"a.ok.example.org. 60 IN A 127.0.0.1",
		`ok.example.org. 60 IN CAA 0 issue "other.example"`,
		`ok.example.org. 60 IN CAA 0 issue "CA.example"`,
		"a.mail.example.org. 60 IN A 127.0.0.1",
		`mail.example.org. 60 IN CAA 0 iodef "mailto:x@example.org"`,
		"a.new.example.org. 60 IN A 127.0.0.1",
		`new.example.org. 60 IN CAA 128 future "x"`,
		"a.none.example.org. 60 IN A 127.0.0.1",
		`none.example.org. 60 IN CAA 0 issue ";"`,
	}.serve(t)
	directory, roots := fakeCA(t, 0, "ca.example")
	c := New([]string{server})
	ours := port(t, c.Handler())
	others := port(t, http.NotFoundHandler())
	another := port(t, New([]string{server}).Handler())
	dead := port(t, nil)
	for _, x := range []struct {
		target      Target
		fatal, warn string
	}{
		{Target{Name: "good.example.com", Port: ours}, "", ""},
		{Target{Name: "good.example.com", Port: another}, "", ""}, // the other process of a hand-over
		{Target{Name: "good.example.com", Port: others}, "", "something else than Portway answers"},
		{Target{Name: "good.example.com", Port: dead}, "", "which is this machine, but nothing answers at port"},
		{Target{Name: "good.example.com", Port: -1}, "", ""},
		{Target{Name: "old.example.com", Port: ours}, "", ""},
		{Target{Name: "old.example.com", Port: others}, "", "something else than Portway answers"},
		{Target{Name: "none-such.example.com", Port: ours}, "no name none-such.example.com in the DNS (NXDOMAIN)", ""},
		{Target{Name: "none-such.example.com", ByDNS: true}, "", ""},
		{Target{Name: "empty.example.com", Port: ours}, "has no address", ""},
		{Target{Name: "broken.example.com", Port: ours}, "", "answers SERVFAIL"},
		{Target{Name: "a.caa.example.org", Port: ours}, "The CAA record of caa.example.org forbids", ""},
		{Target{Name: "*.caa.example.org", ByDNS: true}, "", ""},
		{Target{Name: "a.ok.example.org", Port: ours}, "", ""},
		{Target{Name: "a.mail.example.org", Port: ours}, "", ""},
		{Target{Name: "a.new.example.org", Port: ours}, "The CAA record of new.example.org forbids", ""},
		{Target{Name: "a.none.example.org", Port: ours}, "forbids this CA to certify a.none.example.org. Add one that allows it: none.example.org. CAA 0 issue \"ca.example\"", ""},
	} {
		x.target.Directory, x.target.Roots, x.target.TLSPort = directory, roots, -1
		r := c.Check(t.Context(), x.target)
		warned := strings.Join(r.Warnings, " ")
		if (x.fatal == "") != (r.Fatal == "") || !strings.Contains(r.Fatal, x.fatal) || (x.warn == "") != (warned == "") || !strings.Contains(warned, x.warn) {
			t.Errorf("%+v: fatal %q, warnings %q", x.target, r.Fatal, r.Warnings)
		}
	}
}

// Behind a router that leads nobody back in, nothing is blocked.
func TestUnreachableAddress(t *testing.T) {
	t.Parallel()
	server := zone{"far.example.com. 60 IN A 127.0.0.9"}.serve(t) // no address of an interface, and nobody is there
	directory, roots := fakeCA(t, 0)
	c := New([]string{server})
	r := c.Check(t.Context(), Target{Name: "far.example.com", Directory: directory, Roots: roots, Port: port(t, nil), TLSPort: -1})
	if r.Fatal != "" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "so behind some routers") {
		t.Errorf("%+v", r)
	}
}

// Without a DNS server, or a CA that answers, nothing is said and nothing blocked.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := conn.LocalAddr().String()
	_ = conn.Close()
	r := New([]string{address}).Check(t.Context(), Target{Name: "a.example.com", Directory: "https://127.0.0.1:1/dir"})
	if r.Fatal != "" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "cannot be looked up from here") {
		t.Errorf("%+v", r)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	server := zone{"good.example.com. 60 IN A 127.0.0.1"}.serve(t)
	directory, roots := fakeCA(t, 3*time.Hour, "ca.example")
	c := New([]string{server})
	for range 2 { // the second time by what is remembered
		r := c.Check(t.Context(), Target{Name: "good.example.com", Directory: directory, Roots: roots, Port: -1, TLSPort: -1})
		if r.Fatal != "" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "behind the CA's") || !strings.Contains(r.Warnings[0], "The clock of this machine is 2h59m") && !strings.Contains(r.Warnings[0], "is 3h0m") {
			t.Errorf("%+v", r)
		}
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for date, want := range map[string]string{
		"Thu, 01 Jan 2026 00:01:00 GMT": "", "": "", "yesterday": "",
		"Wed, 31 Dec 2025 23:00:00 GMT": "The clock of this machine is 1h0m0s ahead of the CA's",
	} {
		if got := compareClock(date, now); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%q: %q", date, got)
		}
	}
}
