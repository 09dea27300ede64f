package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"portway/admin"
	"portway/internal/freeport"
)

// A person offers Encrypted ClientHello, publishes what the command prints, changes the
// key, and updates Portway, and nobody who visits is told anything but a yes.
func TestEncryptedClientHello(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "site") }))
	t.Cleanup(origin.Close)
	routes := t.TempDir()
	file := "site:\n  host: '*.dev.lan, nas.lan, nas, 10.1.2.3'\n  to: " + origin.URL + "\none:\n  host: one.lan\n  tls.alpn: http/1.1\n  to: " + origin.URL + "\n"
	if err := os.WriteFile(filepath.Join(routes, "site.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	https := freeport.Local(t)
	p := runProcess(t, origin.URL, "--https="+https, "--https-port=443", "--routes="+routes, "--ech=Cover.LAN")
	portway := func(args ...string) (string, error) {
		out, err := exec.Command(p.cmd.Path, append(args, "--control="+p.control)...).CombinedOutput()
		return string(out), err
	}
	ask := func(args ...string) (k admin.HelloKeys) {
		t.Helper()
		out, err := portway(append([]string{"ech", "--json"}, args...)...)
		if err != nil || json.Unmarshal([]byte(out), &k) != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return k
	}
	pem, err := portway("trust", "--pem")
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM([]byte(pem)) {
		t.Fatalf("%v: %s", err, pem)
	}
	visit := func(configs string) (string, bool) {
		t.Helper()
		list, err := base64.StdEncoding.DecodeString(configs)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "nas.lan", EncryptedClientHelloConfigList: list}}
		for { // the internal CA may not have made the certificate yet
			c, err := d.DialContext(ctx, "tcp", https)
			if err != nil {
				if ctx.Err() != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond)
				continue
			}
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: nas.lan\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = c.Close()
			return string(body), c.(*tls.Conn).ConnectionState().ECHAccepted
		}
	}
	first := ask()
	var hosts []string
	for _, h := range first.Hosts {
		hosts = append(hosts, h.Host)
	}
	if strings.Join(hosts, " ") != "*.dev.lan nas.lan one.lan" || first.PublicName != "cover.lan" {
		t.Errorf("%+v", first)
	}
	text, err := portway("ech")
	for _, want := range []string{
		"\nnas.lan. HTTPS 1 . alpn=\"h3,h2\" ech=" + first.ConfigList + "\n", "\none.lan. HTTPS 1 . ech=" + first.ConfigList + "\n",
		"\n*.dev.lan. HTTPS 1 . ", "; Public name  cover.lan\n",
	} {
		if err != nil || !strings.Contains("\n"+text, want) {
			t.Errorf("%v: no %q in\n%s", err, want, text)
		}
	}
	second := ask("--rotate")
	if second.ConfigList == first.ConfigList || len(second.Old) != 1 {
		t.Errorf("after another key: %+v", second)
	}
	check := func(when string) {
		t.Helper()
		for what, list := range map[string]string{"old": first.ConfigList, "new": second.ConfigList} {
			if body, accepted := visit(list); body != "site" || !accepted {
				t.Errorf("%s: the %s key: %q, accepted: %v", when, what, body, accepted)
			}
		}
	}
	check("after another key")
	p.handOver()
	check("after a hand-over")
	if now := ask(); now.ConfigList != second.ConfigList {
		t.Error("the successor has another key")
	}
	// The public name has a certificate though no route would need one.
	var all []admin.CertificateDetails
	if out, err := portway("certs", "list", "--json"); err != nil || json.Unmarshal([]byte(out), &all) != nil || !bytes.Contains([]byte(out), []byte(`"cover.lan"`)) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestEncryptedClientHelloIsOff(t *testing.T) {
	t.Parallel()
	p := runProcess(t, "http://127.0.0.1:9")
	out, err := exec.Command(p.cmd.Path, "ech", "--control="+p.control).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "set ech (--ech, PORTWAY_ECH)") {
		t.Errorf("%v: %s", err, out)
	}
}

// handOver has p start a successor, which ends with the test, and returns when it serves alone.
func (p *process) handOver() {
	p.t.Helper()
	p.signal(syscall.SIGUSR2)
	limit := time.After(patience)
	for {
		select {
		case line := <-p.lines:
			var entry struct {
				Msg       string
				Successor int
			}
			if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Msg, "a successor serves") {
				p.t.Cleanup(func() { _ = syscall.Kill(entry.Successor, syscall.SIGKILL) }) // it has the pipe that p's output is read from
			}
			if entry.Msg == "stopped" {
				return
			}
		case <-limit:
			p.t.Fatal("no successor serves")
		}
	}
}
