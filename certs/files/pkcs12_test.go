package files

import (
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"portway/internal/need"
)

// What OpenSSL exports is read: as it does by default, as it did once, and without a password.
func TestPKCS12(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		need.Missing(t, "there is no openssl (apt-get install openssl)")
	}
	folder, out := t.TempDir(), t.TempDir()
	openssl := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = out
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, said)
		}
	}
	for file, options := range map[string][]string{
		"modern.p12": {"-passout", "pass:changeit"},
		"old.PFX":    {"-passout", "pass:changeit", "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"},
		"none.pfx":   {"-passout", "pass:"},
		"other.p12":  {"-passout", "pass:something-else"},
	} {
		openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:"+strings.ToLower(file)+".test", "-keyout", file+".key", "-out", file+".crt")
		openssl(append([]string{"pkcs12", "-export", "-inkey", file + ".key", "-in", file + ".crt", "-out", filepath.Join(folder, file)}, options...)...)
	}
	fill(t, folder, map[string]string{"damaged.p12": "0\x82"})
	f := Open(folder, "changeit", slog.New(slog.DiscardHandler))
	for host, want := range map[string]bool{"modern.p12.test": true, "old.pfx.test": true, "none.pfx.test": true, "other.p12.test": false} {
		if found := f.Find(host); (len(found) == 1) != want {
			t.Errorf("%s: %d certificates; problems: %v", host, len(found), f.Problems())
		} else if want && handshake(&found[0].TLS) != nil {
			t.Errorf("%s: %v", host, handshake(&found[0].TLS))
		}
	}
	why := map[string]string{}
	for _, p := range f.Problems() {
		why[filepath.Base(p.Path)] = p.Why + "; " + p.Fix
	}
	if len(why) != 2 || !strings.Contains(why["other.p12"], "--certificates-password") || !strings.Contains(why["damaged.p12"], "cannot be read") {
		t.Errorf("%q", why)
	}
}
