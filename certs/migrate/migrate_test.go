package migrate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pair makes a certificate for names that ends after some time, and its key.
func pair(t testing.TB, ends time.Duration, names ...string) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(ends), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})
}

func write(t *testing.T, data []byte, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// acmeJSON is a file as Traefik 2 and 3 write it.
func acmeJSON(t testing.TB) []byte {
	t.Helper()
	account, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good, goodKey := pair(t, 60*24*time.Hour, "www.example.com", "example.com")
	old, oldKey := pair(t, -time.Hour, "old.example.com")
	_, otherKey := pair(t, time.Hour, "x.example.com")
	entry := func(main string, sans []string, cert, key []byte) map[string]any {
		return map[string]any{"domain": map[string]any{"main": main, "sans": sans}, "certificate": cert, "key": key, "Store": "default"}
	}
	data, err := json.MarshalIndent(map[string]any{
		"le": map[string]any{
			"Account": map[string]any{
				"Email":        "me@example.com",
				"Registration": map[string]any{"body": map[string]any{"status": "valid"}, "uri": "https://acme-v02.api.letsencrypt.org/acme/acct/1"},
				"PrivateKey":   x509.MarshalPKCS1PrivateKey(account), "KeyType": "4096",
			},
			"Certificates": []any{
				entry("www.example.com", []string{"example.com"}, good, goodKey),
				entry("old.example.com", nil, old, oldKey),
				entry("x.example.com", nil, good, otherKey),
			},
		},
		"unused": map[string]any{"Account": nil, "Certificates": nil},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTraefik(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, acmeJSON(t), dir, "acme.json")
	for _, path := range []string{filepath.Join(dir, "acme.json"), dir} {
		f, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Certificates) != 1 || f.Certificates[0].CA != "https://acme-v02.api.letsencrypt.org/directory" || !strings.Contains(f.Certificates[0].Source, "www.example.com") {
			t.Errorf("certificates: %+v", f.Certificates)
		}
		if len(f.Accounts) != 1 || f.Accounts[0].Email != "me@example.com" || !bytes.Contains(f.Accounts[0].Key, []byte("PRIVATE KEY")) {
			t.Errorf("accounts: %+v", f.Accounts)
		}
		var why []string
		for _, s := range f.Skipped {
			why = append(why, s.Why)
		}
		if len(why) != 2 || !strings.HasPrefix(why[0], "it expired on ") || !strings.Contains(why[1], "does not match") {
			t.Errorf("left out: %q", why)
		}
	}
}

func TestCaddy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := filepath.Join(dir, "data", "caddy")
	chain, key := pair(t, time.Hour, "a.example.com")
	ca := "acme-v02.api.letsencrypt.org-directory"
	write(t, chain, base, "certificates", ca, "a.example.com", "a.example.com.crt")
	write(t, key, base, "certificates", ca, "a.example.com", "a.example.com.key")
	write(t, []byte(`{"sans":["a.example.com"],"issuer_data":{"ca":"https://acme-v02.api.letsencrypt.org/directory","url":"x"}}`), base, "certificates", ca, "a.example.com", "a.example.com.json")
	write(t, chain, base, "certificates", "local", "a.lan", "a.lan.crt")
	write(t, key, base, "certificates", "local", "a.lan", "a.lan.key")
	write(t, chain, base, "certificates", ca, "half.example.com", "half.example.com.crt")
	write(t, key, base, "acme", ca, "users", "me@example.com", "me.key")
	write(t, key, base, "acme", "ca.internal-acme-directory", "users", "default", "default.key")
	for _, path := range []string{base, dir} {
		f, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Certificates) != 1 || f.Certificates[0].CA != "https://acme-v02.api.letsencrypt.org/directory" {
			t.Errorf("certificates: %+v", f.Certificates)
		}
		slices.SortFunc(f.Accounts, func(a, b Account) int { return strings.Compare(a.Email, b.Email) })
		if len(f.Accounts) != 2 || f.Accounts[0].Email != "" || f.Accounts[1].Email != "me@example.com" || f.Accounts[1].CA != "https://acme-v02.api.letsencrypt.org/directory" {
			t.Errorf("accounts: %+v", f.Accounts)
		}
		// The certificate of half.example.com is the same as the first.
		if len(f.Skipped) != 1 || !strings.Contains(f.Skipped[0].Why, "half.example.com.key is missing") {
			t.Errorf("left out: %+v", f.Skipped)
		}
	}
}

func TestCompanion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	chain, key := pair(t, time.Hour, "a.example.com", "b.example.com")
	write(t, chain, dir, "a.example.com", "fullchain.pem")
	write(t, chain, dir, "a.example.com", "chain.pem")
	write(t, key, dir, "a.example.com", "key.pem")
	for link, to := range map[string]string{"a.example.com.crt": "a.example.com/fullchain.pem", "a.example.com.key": "a.example.com/key.pem", "b.example.com": "a.example.com"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	ecc, eccKey := pair(t, time.Hour, "c.example.com")
	write(t, ecc, dir, "acme.sh", "c.example.com_ecc", "fullchain.cer")
	write(t, eccKey, dir, "acme.sh", "c.example.com_ecc", "c.example.com.key")
	write(t, key, dir, "acme.sh", "ca", "acme-v02.api.letsencrypt.org", "directory", "account.key")
	write(t, []byte(`{"contact":["mailto:me@example.com"]}`), dir, "acme.sh", "ca", "acme-v02.api.letsencrypt.org", "directory", "account.json")
	f, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Certificates) != 2 || len(f.Skipped) != 0 {
		t.Errorf("%+v", f)
	}
	if len(f.Accounts) != 1 || f.Accounts[0].CA != "https://acme-v02.api.letsencrypt.org/directory" || f.Accounts[0].Email != "me@example.com" {
		t.Errorf("accounts: %+v", f.Accounts)
	}
}

func TestNotAStorage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, []byte(`{"version": 3}`), dir, "package.json")
	write(t, []byte("hello"), dir, "readme")
	for path, want := range map[string]string{
		dir:                                "nothing that Portway knows",
		filepath.Join(dir, "readme"):       "not Traefik's acme.json",
		filepath.Join(dir, "package.json"): "",
		filepath.Join(dir, "none"):         "no such file",
	} {
		f, err := Read(path)
		if len(f.Certificates)+len(f.Accounts) > 0 || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %+v, %v", path, f, err)
		}
	}
}

// Whatever the file holds, what comes out can be used.
func FuzzTraefik(f *testing.F) {
	f.Add(acmeJSON(f))
	f.Add([]byte(`{"le":{"Account":{"PrivateKey":"AAAA","Registration":{"uri":"://"}},"Certificates":[{"certificate":"","key":null}]}}`))
	f.Add([]byte(`{"le":null,"x":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := parseTraefik(data, "acme.json")
		if err != nil {
			return
		}
		for _, c := range found.Certificates {
			if err := check(c); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range found.Accounts {
			if block, _ := pem.Decode(a.Key); block == nil || a.CA == "" {
				t.Fatalf("%+v", a)
			}
		}
	})
}
