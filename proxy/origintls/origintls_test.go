package origintls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"portway/label"
)

// parse reads labels by their names without prefix.
func parse(values label.Values) (*Options, []label.Problem) {
	o := &Options{}
	return o, label.Parse("test", func(o string) string { return label.Key("", o) }, values, o)
}

// pair is a self-signed certificate with its key, PEM.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func TestProblems(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var labels map[string]string
		if err := yaml.Unmarshal(a.Files[0].Data, &labels); err != nil {
			t.Fatal(err)
		}
		values := make(label.Values)
		for key, value := range labels {
			values[strings.TrimPrefix(key, label.Prefix)] = value
		}
		_, problems := parse(values)
		got := ""
		for _, p := range problems {
			got += p.String() + "\n"
		}
		if want := string(a.Files[1].Data); got != want {
			t.Errorf("%s:\n%swant:\n%s", file, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	cert, key := pair(t)
	for _, c := range []struct {
		values  label.Values
		address string
		trusts  bool // whatever the origin shows
		roots   bool
		name    string
		shows   int
	}{
		{nil, "172.18.0.3:443", true, false, "", 0},
		{nil, "[::1]:443", true, false, "", 0},
		{nil, "93.184.216.34:443", false, false, "", 0},
		{nil, "nas.example.com:443", false, false, "", 0},
		{label.Values{"origin-tls.verify": "true"}, "172.18.0.3:443", false, false, "", 0},
		{label.Values{"origin-tls.verify": "false"}, "nas.example.com:443", true, false, "", 0},
		{label.Values{"origin-tls.ca": cert}, "172.18.0.3:443", false, true, "", 0},
		{label.Values{"origin-tls.server-name": "app.internal"}, "172.18.0.3:443", true, false, "app.internal", 0},
		{label.Values{"origin-tls.cert": cert, "origin-tls.key": key}, "172.18.0.3:443", true, false, "", 1},
	} {
		o, problems := parse(c.values)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if again, _ := parse(c.values); *o != *again {
			t.Errorf("%v: the same labels give different options", c.values)
		}
		cfg := o.Config(c.address)
		if cfg.InsecureSkipVerify != c.trusts || (cfg.RootCAs != nil) != c.roots || cfg.ServerName != c.name || len(cfg.Certificates) != c.shows {
			t.Errorf("%v at %s: %+v", c.values, c.address, cfg)
		}
	}
}

// What is secret is not shown, whatever is wrong with it.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	cert, _ := pair(t)
	_, key := pair(t)
	for _, values := range []label.Values{
		{"origin-tls.cert": cert, "origin-tls.key": key},
		{"origin-tls.cert": cert, "origin-tls.key": "hunter2hunter2"},
		{"origin-tls.cert": "hunter2hunter2", "origin-tls.key": key},
	} {
		_, problems := parse(values)
		text := fmt.Sprint(problems)
		if len(problems) != 1 || strings.Contains(text, "hunter2") || strings.Contains(text, "BEGIN") || !strings.Contains(text, "belong together") {
			t.Errorf("%v", text)
		}
	}
}
