package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/admin"
	"portway/proxy"
)

// The commands of a person at a terminal, against a running Portway.
func TestCertsCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	routes := filepath.Join(dir, "more")
	if err := os.Mkdir(routes, 0o755); err != nil {
		t.Fatal(err)
	}
	file := "site:\n  host: nas.lan, '*.dev.lan'\n  to: http://127.0.0.1:9\n"
	if err := os.WriteFile(filepath.Join(routes, "site.yaml"), []byte(strings.ReplaceAll(file, "'", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	p := runProcess(t, "http://127.0.0.1:9", "--https=127.0.0.1:0", "--routes="+routes, "--import="+filepath.Join(dir, "gone.json"))
	portway := func(args ...string) (string, error) {
		cmd := exec.Command(p.cmd.Path, append([]string{"certs", "--control=" + p.control}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(want string, args ...string) string {
		t.Helper()
		out, err := portway(args...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("portway certs %v: %v\n%s", args, err, out)
		}
		return out
	}
	fails := func(want string, args ...string) {
		t.Helper()
		if out, err := portway(args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("portway certs %v: %v\n%s", args, err, out)
		}
	}
	// The process is ready before the internal CA has made its certificates.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if out, err := portway("list"); err == nil && strings.Count(out, " valid ") == 2 {
			break
		}
	}
	must("nas.lan    valid  internal", "list")
	var all []admin.CertificateDetails
	if err := json.Unmarshal([]byte(must("", "list", "--json")), &all); err != nil || len(all) != 2 || all[0].Name != "*.dev.lan" || all[1].NextRenewal == nil {
		t.Errorf("%+v, %v", all, err)
	}
	must("key          ec256", "show", "nas.lan")
	fails("portway: no route needs a certificate for x.lan", "show", "x.lan")
	must("renewed: nas.lan, by internal", "renew", "nas.lan")
	fails("no route needs a certificate for x.lan", "renew", "x.lan")
	fails("the internal CA does not revoke certificates", "revoke", "nas.lan", "--reason=keyCompromise")
	fails("must be one of", "revoke", "nas.lan", "--reason=boredom")
	must("wrote wildcard.dev.lan.key", "export", "*.dev.lan")
	must("BEGIN PRIVATE KEY", "export", "nas.lan", "--cert=nas.pem", "--key=-")
	if info, err := os.Stat(filepath.Join(dir, "wildcard.dev.lan.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is for others to read: %v %v", info, err)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "wildcard.dev.lan.crt"), filepath.Join(dir, "wildcard.dev.lan.key")); err != nil {
		t.Error(err)
	}
	// What was exported can be imported, in the form of acme-companion; but the
	// internal CA has something for the name, and a public one is not asked.
	if err := os.MkdirAll(filepath.Join(dir, "companion", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"wildcard.dev.lan.crt": "fullchain.pem", "wildcard.dev.lan.key": "key.pem"} {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, "companion", "x", to)); err != nil {
			t.Fatal(err)
		}
	}
	fails("acme-companion's certificates: 0 imported, 1 left out", "import", "companion")
	fails("no such file", "import", "nothing")
}

func TestListCertificates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	var out strings.Builder
	err := listCertificates(&out, []admin.CertificateDetails{
		{Certificate: admin.Certificate{Name: "a.example.com", State: "valid", Issuer: "letsencrypt", NotAfter: at(89 * 24 * time.Hour), NextRenewal: at(60 * 24 * time.Hour)}},
		{Certificate: admin.Certificate{Name: "b.example.com", State: "failed", NextTry: at(90 * time.Minute), LastError: "The CA said: no. Check the DNS."}},
		{Certificate: admin.Certificate{Name: "c.example.com", State: "failed", NotAfter: at(-time.Hour), LastError: strings.Repeat("x", 200)}},
	}, now)
	want := strings.TrimLeft(`
NAME           STATE   ISSUER       EXPIRES     RENEWAL     NOTE
a.example.com  valid   letsencrypt  in 89 days  in 60 days  
b.example.com  failed  -            -           -           next try in 90 min. The CA said: no.
c.example.com  failed  -            past        -           `, "\n") + strings.Repeat("x", 97) + "...\n"
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, &out, want)
	}
}

func TestShowCertificate(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := showCertificate(&out, admin.CertificateDetails{Certificate: admin.Certificate{
		Name: "a.example.com", State: "valid", Issuer: "letsencrypt", Challenge: "dns-01", Wildcard: "*.example.com", OnDemand: true, Attempts: 2,
	}}, time.Now())
	want := strings.TrimLeft(`
name         a.example.com
state        valid
issuer       letsencrypt
wildcard     *.example.com
on demand    yes
challenge    dns-01
failed tries 2
`, "\n")
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, &out, want)
	}
}

// Who comes from Traefik starts Portway with its acme.json, and needs no CA.
func TestImportAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(0xabc), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(80 * 24 * time.Hour), DNSNames: []string{"www.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]any{"le": map[string]any{
		"Account": map[string]any{"Email": "", "Registration": map[string]any{"uri": "https://127.0.0.1:1/acct/1"}, "PrivateKey": sec1},
		"Certificates": []any{map[string]any{
			"domain":      map[string]any{"main": "www.example.com"},
			"certificate": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			"key":         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"acme.json": string(file), "routes/site.yaml": "site:\n  host: www.example.com\n  to: http://127.0.0.1:9\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := runProcess(t, "http://127.0.0.1:9", "--https=127.0.0.1:0", "--routes="+filepath.Join(dir, "routes"),
		"--import="+filepath.Join(dir, "acme.json"), "--acme-directory=https://127.0.0.1:1/dir", "--log-level=debug")
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // nothing tells another process
		out, err := exec.Command(p.cmd.Path, "certs", "--control="+p.control, "show", "www.example.com").CombinedOutput()
		if err == nil && strings.Contains(string(out), "valid") && strings.Contains(string(out), "serial       abc") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// The password gets to where files are read, from a file like other secrets.
func TestCertificatesPassword(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("changeit\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inv, err := parse([]string{"run", "--certificates-password=file:" + file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := inv.cli.Run.certs(new(proxy.Listeners), nil, nil, slog.New(slog.DiscardHandler)).Password; got != "changeit" {
		t.Errorf("%q", got)
	}
}
