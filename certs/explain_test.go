package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// What a person reads: the CA's words and what to do, without the wrapping of
// three libraries around it.
func TestExplain(t *testing.T) {
	t.Parallel()
	const directory = "https://ca.example/dir"
	problem := func(kind, detail string) error {
		return fmt.Errorf("[a.com] Obtain: [a.com] creating new order: %w (ca=x)",
			acme.Problem{Type: acme.ProblemTypeNamespace + kind, Status: 400, Detail: detail})
	}
	dial := &url.Error{Op: "Get", URL: directory, Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}
	for _, c := range []struct {
		name string
		try  heard
		err  error
		want []string
		wait time.Duration
	}{
		{
			"both challenges",
			heard{challenges: []string{"http-01: refused", "tls-alpn-01: timed out"}},
			problem("connection", "timed out"),
			[]string{"The CA said: http-01: refused; tls-alpn-01: timed out.", "DNS records (A, AAAA) of a.com", "ports 80 and 443"},
			0,
		},
		{"dns", heard{}, problem("dns", "NXDOMAIN looking up A for a.com"), []string{"NXDOMAIN", "Create a DNS record"}, 0},
		{"wrong server", heard{challenges: []string{"http-01: 404"}}, problem("unauthorized", "404"), []string{"The CA said: http-01: 404.", "not another server or proxy"}, 0},
		{"wrong account", heard{}, problem("unauthorized", "no such kid"), []string{"The CA said: no such kid.", "check the key id"}, 0},
		{"caa", heard{}, problem("caa", "CAA forbids"), []string{"CAA forbids", "CAA record in the DNS of a.com"}, 0},
		{"blocked", heard{}, problem("rejectedIdentifier", "policy"), []string{"policy", "does not certify a.com"}, 0},
		{"limit with a time", heard{retryAfter: 2 * time.Hour}, problem("rateLimited", "too many certificates"), []string{"too many certificates", "as long as the CA asks"}, 2 * time.Hour},
		{"limit without a time", heard{}, problem("rateLimited", "too many"), []string{"too many"}, unnamedWait},
		{"unavailable", heard{retryAfter: time.Hour}, errors.New("HTTP 503: busy"), []string{"HTTP 503: busy."}, time.Hour},
		{"account", heard{}, problem("externalAccountRequired", "EAB"), []string{"another CA"}, 0},
		{"mail", heard{}, problem("invalidContact", "no"), []string{"e-mail address"}, 0},
		{"unknown kind", heard{}, problem("new", "odd"), []string{"The CA said: odd."}, 0},
		{"without detail", heard{}, problem("compound", ""), []string{"The CA said: compound."}, 0},
		{"refused", heard{}, fmt.Errorf("[a.com] Obtain: %w", dial), []string{"connection refused", directory, "cannot be reached"}, 0},
		{"no such host", heard{}, &url.Error{Op: "Get", URL: directory, Err: &net.DNSError{Err: "no such host", Name: "ca.example"}}, []string{"no such host", directory, "the DNS of this machine"}, 0},
		{"untrusted", heard{}, &url.Error{Op: "Get", URL: directory, Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, []string{"unknown authority", "tell Portway its root"}, 0},
		{"no ACME", heard{}, errors.New("provisioning client: HTTP 404: <html>\n\n <body>"), []string{"HTTP 404: <html> <body>", directory + " does not look like an ACME directory"}, 0},
		{"slow", heard{}, fmt.Errorf("polling: %w", context.DeadlineExceeded), []string{"took too long"}, 0},
		{"disk", heard{storageErr: syscall.ENOSPC}, errors.New("saving assets: no space left on device"), []string{"/data", "no space left on device", "disk is full"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tr := &try{name: "a.com", heard: c.try}
			f := tr.explain(c.err, storage{&certmagic.FileStorage{Path: "/data"}}, directory)
			for _, want := range c.want {
				if !strings.Contains(f.reason, want) {
					t.Errorf("got %q, want %q in it", f.reason, want)
				}
			}
			if strings.Contains(f.reason, "Obtain:") || strings.Contains(f.reason, "\n") || strings.Contains(f.reason, "..") {
				t.Errorf("not for people: %q", f.reason)
			}
			if f.wait != c.wait {
				t.Errorf("got a wait of %v, want %v", f.wait, c.wait)
			}
		})
	}
}

// What CAs and systems say may begin, and be cut, within any script.
func TestSentences(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"":                             "",
		"no such host":                 "No such host.",
		"élan":                         "Élan.",
		"ß is no capital!":             "ß is no capital!",
		"日本":                           "日本.",
		"\xff odd":                     "\xff odd.",
		"a\nb ":                        "A b.",
		"x" + strings.Repeat("é", 600): "X" + strings.Repeat("é", 499) + "...",
	} {
		if got := sentence(said); got != want {
			t.Errorf("%q becomes %q, want %q", said, got, want)
		}
	}
}
