package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  Config
		want []string // in use
		err  string
	}{
		{"by default", Config{}, []string{"letsencrypt"}, ""},
		{"with an address", Config{Email: "a@example.com"}, []string{"letsencrypt", "zerossl"}, ""},
		{"with an account", Config{CAs: []CA{{Name: "zerossl", EABKeyID: "a", EABKey: "b"}}}, []string{"letsencrypt", "zerossl"}, ""},
		{"by URL", Config{Use: []string{"https://ca.example.com/dir", "google"}}, []string{"ca.example.com", "google"}, ""},
		{"the one directory", Config{Directory: "https://ca.example.com/dir"}, []string{"ca.example.com"}, ""},
		{"a known one elsewhere", Config{CAs: []CA{{Name: "letsencrypt", Directory: "https://mirror.example.com/dir"}}}, []string{"letsencrypt"}, ""},
		{"internal", Config{Internal: true}, []string{InternalCA}, ""},
		{"internal by name", Config{Use: []string{InternalCA}}, []string{InternalCA}, ""},
		{"internal as a stand-in", Config{Use: []string{"letsencrypt", InternalCA}}, nil, "cannot stand in"},
		{"nobody", Config{Use: []string{"letsencript"}}, nil, `no CA "letsencript": choose one of google, google-staging, internal, letsencrypt`},
		{"without a directory", Config{CAs: []CA{{Name: "corp"}}}, nil, "the CA corp has no directory"},
		{"in the way", Config{CAs: []CA{{Name: InternalCA, Directory: "https://ca.example.com"}}}, nil, "built-in"},
		{"unencrypted", Config{Use: []string{"http://ca.example.com/dir"}}, nil, "not encrypted"},
	} {
		_, use, err := resolve(c.cfg)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
		if err == nil && !slices.Equal(use, c.want) {
			t.Errorf("%s: %v in use, want %v", c.name, use, c.want)
		}
	}
}

// What is wrong with a CA that is used stops the start; of others nobody hears.
func TestWrongCA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Use: []string{"google"}}, "key id and the key (EAB)"},
		{Config{Use: []string{"zerossl"}}, "key id and the key (EAB)"},
		{Config{CAs: []CA{{Name: "google", EABKeyID: "a"}}}, "only one half"},
		{Config{KeyType: "dsa"}, "no key type"},
		{Config{Use: []string{"letsencrypt"}}, ""},
	} {
		c.cfg.Storage, c.cfg.Logger = t.TempDir(), slog.New(slog.DiscardHandler)
		m, err := New(c.cfg)
		if err == nil {
			run(t, m)()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.cfg.Use, err, c.want)
		}
	}
}

// ZeroSSL hands out what binds an account to an address.
func TestZeroSSLBinding(t *testing.T) {
	t.Parallel()
	answer := `{"success":true,"eab_kid":"kid","eab_hmac_key":"key"}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.FormValue("email") != "admin@example.com" {
			t.Errorf("asked by %s for %q", r.Method, r.FormValue("email"))
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer s.Close()
	eab, err := fetchBinding(context.Background(), s.URL, "admin@example.com")
	if err != nil || eab.KeyID != "kid" || eab.MACKey != "key" {
		t.Errorf("got %+v, %v", eab, err)
	}
	for _, answer = range []string{`{"success":false,"error":{"type":"invalid_email"}}`, `<html>`, `{"success":true}`} {
		if _, err := fetchBinding(context.Background(), s.URL, "admin@example.com"); err == nil {
			t.Errorf("%s: no error", answer)
		}
	}
}

// The certificate of an address goes to those who come from the internet, also
// behind a port mapping.
func TestPublicAddress(t *testing.T) {
	t.Parallel()
	if got := reversedAddress("8.8.4.4.in-addr.arpa"); got != "4.4.8.8" {
		t.Errorf("IPv4: %q", got)
	}
	if got := reversedAddress(strings.Repeat("0.", 27) + "1.0.0.2.ip6.arpa"); got != "2001::" && got != "2001:0:0:0:0:0:0:0" {
		t.Errorf("IPv6: %q", got)
	}
	for address, want := range map[string]bool{"8.8.8.8:1": true, "192.168.1.1:1": false, "[2606:4700::1]:1": true, "[::1]:1": false, "@": false} {
		remote := net.Addr(&net.UnixAddr{Name: address})
		if a, err := netip.ParseAddrPort(address); err == nil {
			remote = net.TCPAddrFromAddrPort(a)
		}
		if got := fromOutside(remote); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for life, want := range map[time.Duration]time.Duration{ninetyDays: ninetyDays * 2 / 3, 6 * 24 * time.Hour: 3 * 24 * time.Hour} {
		c := &stored{Certificate: certificateFor(start, life)}
		if got := c.due().Sub(start); got != want {
			t.Errorf("with a life of %v: due after %v, want %v", life, got, want)
		}
	}
	// What the CA suggests counts (RFC 9773), but no certificate expires by it, and
	// none is renewed all the time.
	day := 24 * time.Hour
	for suggested, want := range map[time.Duration]time.Duration{
		10 * day: 10 * day, 80 * day: 80 * day, -day: 2 * time.Hour, 0: 2 * time.Hour, 100 * day: ninetyDays * 19 / 20,
	} {
		c := &stored{Certificate: certificateFor(start, ninetyDays)}
		info := acme.RenewalInfo{SelectedTime: start.Add(suggested)}
		info.SuggestedWindow.Start, info.SuggestedWindow.End = start.Add(suggested-time.Hour), start.Add(suggested+time.Hour)
		c.meta.IssuerData.RenewalInfo = &info
		if got := c.due().Sub(start); got != want {
			t.Errorf("suggested after %v: due after %v, want %v", suggested, got, want)
		}
	}
}

func certificateFor(start time.Time, life time.Duration) *tls.Certificate {
	return &tls.Certificate{Leaf: &x509.Certificate{NotBefore: start, NotAfter: start.Add(life)}}
}
