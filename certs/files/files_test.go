package files

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// made is a certificate with its key, as PEM.
type made struct {
	cert, key string
	x509      *x509.Certificate
	signer    crypto.Signer
}

// issue makes a certificate for names, for the time until end, by parent, or by itself
// if that is nil.
func issue(t testing.TB, parent *made, end time.Duration, signer crypto.Signer, names ...string) *made {
	t.Helper()
	if signer == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer = key
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(mathrand.Int64()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(end), DNSNames: names,
	}
	if len(names) == 0 {
		template.Subject.CommonName = "CA " + template.SerialNumber.String()
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	m := &made{signer: signer}
	by, with := template, signer
	if parent != nil {
		by, with = parent.x509, parent.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, signer.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	m.x509, _ = x509.ParseCertificate(der)
	m.cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	m.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return m
}

const year = 365 * 24 * time.Hour

// fill writes files by their names.
func fill(t testing.TB, folder string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// open reads a folder; the log is returned as well.
func open(t testing.TB, folder string) (*Folder, *log) {
	t.Helper()
	l := new(log)
	return Open(folder, "", slog.New(slog.NewTextHandler(l, nil))), l
}

type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What people and programs leave in such folders.
func TestPairs(t *testing.T) {
	t.Parallel()
	ca := issue(t, nil, year, nil)
	middle := issue(t, ca, year, nil)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, b := issue(t, middle, year, nil, "a.example.com"), issue(t, middle, year, rsaKey, "b.example.com")
	ed := issue(t, nil, year, edKey, "ed.example.com")
	ecDER, _ := x509.MarshalECPrivateKey(a.signer.(*ecdsa.PrivateKey))
	sec1 := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER}))
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}))
	for what, c := range map[string]struct {
		files map[string]string
		want  map[string]int // host → length of its chain
	}{
		"two files":                        {map[string]string{"x.crt": a.cert, "y.key": a.key}, map[string]int{"a.example.com": 1}},
		"names tell nothing":               {map[string]string{"1": a.key, "2": b.cert, "3": a.cert, "4": b.key}, map[string]int{"a.example.com": 1, "b.example.com": 1}},
		"key first, in one file":           {map[string]string{"all.pem": a.key + a.cert + middle.cert}, map[string]int{"a.example.com": 2}},
		"older kinds of keys":              {map[string]string{"all.pem": "Bag Attributes\n" + sec1 + a.cert, "b": pkcs1 + b.cert}, map[string]int{"a.example.com": 1, "b.example.com": 1}},
		"Ed25519":                          {map[string]string{"ed": ed.key + ed.cert}, map[string]int{"ed.example.com": 1}},
		"chain in wrong order with root":   {map[string]string{"x": ca.cert + middle.cert + a.cert, "k": a.key}, map[string]int{"a.example.com": 2}},
		"certbot":                          {map[string]string{"live/a/cert.pem": a.cert, "live/a/chain.pem": middle.cert, "live/a/fullchain.pem": a.cert + middle.cert, "live/a/privkey.pem": a.key, "live/README": "hello"}, map[string]int{"a.example.com": 2}},
		"the chain is in a file of itself": {map[string]string{"cert.pem": a.cert, "key.pem": a.key, "ca.pem": middle.cert + ca.cert}, map[string]int{"a.example.com": 2}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			fill(t, folder, c.files)
			f, _ := open(t, folder)
			for host, chain := range c.want {
				found := f.Find(host)
				if len(found) == 0 || len(found[0].TLS.Certificate) != chain {
					t.Fatalf("%s: %+v", host, found)
				}
				if err := handshake(&found[0].TLS); err != nil {
					t.Error(err)
				}
			}
			if len(f.Problems()) > 0 {
				t.Errorf("problems: %v", f.Problems())
			}
		})
	}
}

// handshake tells whether a certificate works.
func handshake(cert *tls.Certificate) error {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	go func() {
		if c, err := l.Accept(); err == nil {
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		_ = c.Close()
	}
	return err
}

func TestFind(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	wild, exact := issue(t, nil, 2*year, nil, "*.example.com", "example.com"), issue(t, nil, year, nil, "A.Example.com")
	old, fresh := issue(t, nil, -time.Hour, nil, "old.example.com"), issue(t, nil, 300*24*time.Hour, nil, "twice.test")
	longer := issue(t, nil, year, nil, "twice.test")
	for i, m := range []*made{wild, exact, old, fresh, longer} {
		fill(t, folder, map[string]string{string(rune('a' + i)): m.cert + m.key})
	}
	f, l := open(t, folder)
	for host, want := range map[string]*made{
		"a.example.com": exact, "b.example.com": wild, "example.com": wild, "*.example.com": wild, "x.y.example.com": nil,
		"old.example.com": wild, // the exact one has ended
		"twice.test":      longer, "other.test": nil, "": nil, ".": nil,
	} {
		found := f.Find(host)
		if want == nil {
			if len(found) > 0 {
				t.Errorf("%q: %v", host, found[0].Path)
			}
			continue
		}
		if len(found) == 0 || !found[0].TLS.Leaf.Equal(want.x509) {
			t.Errorf("%q: %v", host, found)
		}
	}
	f.warn()
	f.warn()
	if n := strings.Count(l.String(), "has ended"); n != 1 || !strings.Contains(l.String(), "old.example.com") {
		t.Errorf("%d warnings of the one that has ended:\n%s", n, l)
	}
}

// An RSA certificate beside an ECDSA one serves clients that know only RSA.
func TestMatch(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, old := issue(t, nil, 2*year, nil, "a.test"), issue(t, nil, year, rsaKey, "a.test")
	fill(t, folder, map[string]string{"ec": ec.cert + ec.key, "rsa": old.cert + old.key})
	f, _ := open(t, folder)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return f.Match("a.test", hello), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake(); _ = c.Close() }()
		}
	}()
	for want, suites := range map[string][]uint16{"RSA": {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, "ECDSA": nil} {
		c, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: suites})
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if got := c.ConnectionState().PeerCertificates[0].PublicKeyAlgorithm.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		_ = c.Close()
	}
}

// Each broken file is told of with what to do, and harms no other.
func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	good, alone := issue(t, nil, year, nil, "good.test"), issue(t, nil, year, nil, "alone.test")
	other := issue(t, nil, year, nil, "other.test")
	nameless := issue(t, nil, year, nil, "x.test")
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x.test"}, NotAfter: time.Now().Add(year)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, nameless.signer.Public(), nameless.signer)
	if err != nil {
		t.Fatal(err)
	}
	nameless.cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	folder := t.TempDir()
	fill(t, folder, map[string]string{
		"good.pem":      good.cert + good.key,
		"half.pem":      alone.cert + alone.key[:100],
		"lonely.crt":    alone.cert,
		"lonely.key":    other.key,
		"garbled.pem":   "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"encrypted.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
		"nameless.pem":  nameless.cert + nameless.key,
		"README.md":     "nothing here",
		".hidden":       "-----BEGIN CERTIFICATE-----",
		"params.pem":    "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n",
	})
	if err := os.Symlink("/nowhere", filepath.Join(folder, "link.pem")); err != nil {
		t.Fatal(err)
	}
	f, l := open(t, folder)
	want := map[string]string{
		"half.pem": "middle of a PEM block", "lonely.crt": "no private key", "lonely.key": "no certificate", "garbled.pem": "cannot be read",
		"encrypted.key": "openssl pkey", "nameless.pem": "subject alternative names", "link.pem": "a link to a file that is not there",
	}
	for _, p := range f.Problems() {
		text := want[filepath.Base(p.Path)]
		if text == "" || !strings.Contains(p.Why+"; "+p.Fix, text) || p.Fix == "" {
			t.Errorf("%s: %s; %s", p.Path, p.Why, p.Fix)
		}
		delete(want, filepath.Base(p.Path))
		if !strings.Contains(l.String(), p.Path) {
			t.Errorf("%s is not in the log", p.Path)
		}
	}
	if len(want) > 0 || len(f.Find("good.test")) != 1 || len(f.All()) != 1 {
		t.Errorf("nobody told of %v; %d certificates", want, len(f.All()))
	}
	if f, _ := open(t, filepath.Join(folder, "missing")); len(f.Problems()) != 1 || !strings.Contains(f.Problems()[0].Why, "not there") {
		t.Errorf("no folder: %v", f.Problems())
	}
}

// watched runs a Folder that looks often; next waits for a change after which ok holds.
func watched(t *testing.T, folder string) (f *Folder, l *log, next func(what string, ok func() bool)) {
	t.Helper()
	f, l = open(t, folder)
	f.quiet, f.poll = 10*time.Millisecond, 50*time.Millisecond
	changed := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.Run(ctx, func() { changed <- struct{}{} })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return f, l, func(what string, ok func() bool) {
		t.Helper()
		late := time.After(time.Minute)
		for !ok() {
			select {
			case <-changed:
			case <-late:
				t.Fatalf("not seen: %s\n%s", what, l)
			}
		}
	}
}

func serves(f *Folder, m *made) func() bool {
	return func() bool {
		found := f.Find(m.x509.DNSNames[0])
		return len(found) > 0 && found[0].TLS.Leaf.Equal(m.x509)
	}
}

// A renewal in place: the old pair is served until the new one is complete, whichever
// half comes first, and however slowly.
func TestRenewalInPlace(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first, second, third := issue(t, nil, year, nil, "a.test"), issue(t, nil, year, nil, "a.test"), issue(t, nil, year, nil, "a.test")
	fill(t, folder, map[string]string{"c.pem": first.cert, "k.pem": first.key})
	f, l, next := watched(t, folder)
	if !serves(f, first)() {
		t.Fatal("nothing is served")
	}
	broken := func() bool { found := f.Find("a.test"); return len(found) > 0 && found[0].Broken != "" }

	fill(t, folder, map[string]string{"c.pem": second.cert[:len(second.cert)/2]})
	next("half a certificate", broken)
	if !serves(f, first)() {
		t.Error("with half a certificate, the old one is not served")
	}
	fill(t, folder, map[string]string{"c.pem": second.cert})
	next("a certificate without its key", func() bool { return broken() && strings.Contains(f.Find("a.test")[0].Broken, "no private key") })
	if !serves(f, first)() {
		t.Error("without the new key, the old certificate is not served")
	}
	fill(t, folder, map[string]string{"k.pem": second.key})
	next("the new pair", serves(f, second))

	fill(t, folder, map[string]string{"k.pem": third.key})
	next("a key without its certificate", broken)
	if !serves(f, second)() {
		t.Error("without the new certificate, the old one is not served")
	}
	fill(t, folder, map[string]string{"c.pem": third.cert})
	next("the third pair", serves(f, third))
	if broken() || len(f.Problems()) > 0 {
		t.Errorf("problems that are over: %v", f.Problems())
	}

	if err := os.Remove(filepath.Join(folder, "c.pem")); err != nil {
		t.Fatal(err)
	}
	next("the removal", func() bool { return len(f.Find("a.test")) == 0 })
	if !strings.Contains(l.String(), "still served") || !strings.Contains(l.String(), "is gone") {
		t.Errorf("the log does not tell:\n%s", l)
	}
}

// Kubernetes swaps one link of a folder, certbot the links of four files.
func TestLinksThatAreSwapped(t *testing.T) {
	t.Parallel()
	folder, elsewhere := t.TempDir(), t.TempDir()
	link := func(target, path string) {
		t.Helper()
		temp := filepath.Join(elsewhere, "link")
		if err := os.Symlink(target, temp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temp, path); err != nil {
			t.Fatal(err)
		}
	}
	k1, k2 := issue(t, nil, year, nil, "k.test"), issue(t, nil, year, nil, "k.test")
	fill(t, folder, map[string]string{"..one/tls.crt": k1.cert, "..one/tls.key": k1.key, "..two/tls.crt": k2.cert, "..two/tls.key": k2.key})
	link("..one", filepath.Join(folder, "..data"))
	link("..data/tls.crt", filepath.Join(folder, "tls.crt"))
	link("..data/tls.key", filepath.Join(folder, "tls.key"))

	c1, c2 := issue(t, nil, year, nil, "c.test"), issue(t, nil, year, nil, "c.test")
	fill(t, elsewhere, map[string]string{"fullchain1.pem": c1.cert, "privkey1.pem": c1.key, "fullchain2.pem": c2.cert, "privkey2.pem": c2.key})
	live := filepath.Join(folder, "live")
	fill(t, folder, map[string]string{"live/README": ""})
	for _, name := range []string{"fullchain", "privkey"} {
		link(filepath.Join(elsewhere, name+"1.pem"), filepath.Join(live, name+".pem"))
	}

	f, _, next := watched(t, folder)
	if !serves(f, k1)() || !serves(f, c1)() || len(f.All()) != 2 {
		t.Fatalf("%d certificates: %v", len(f.All()), f.Problems())
	}
	link("..two", filepath.Join(folder, "..data"))
	next("the other folder", serves(f, k2))
	for _, name := range []string{"fullchain", "privkey"} {
		link(filepath.Join(elsewhere, name+"2.pem"), filepath.Join(live, name+".pem"))
		if len(f.Find("c.test")) == 0 {
			t.Error("nothing is served in the middle of a swap")
		}
	}
	next("the other files", serves(f, c2))
}

// A folder that comes later, or goes for a while, as a mount does.
func TestFolderThatComesAndGoes(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	folder := filepath.Join(parent, "certificates")
	f, _, next := watched(t, folder)
	m := issue(t, nil, year, nil, "a.test")
	fill(t, folder, map[string]string{"a": m.cert + m.key})
	next("the folder", serves(f, m))
	if err := os.Rename(folder, folder+"-away"); err != nil {
		t.Fatal(err)
	}
	next("that it is gone", func() bool { return len(f.Problems()) == 1 })
	if !serves(f, m)() {
		t.Error("what was there is not served any more")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	m := issue(t, nil, year, nil, "B.test", "*.A.test", "b.test")
	if got := Names(m.x509); !slices.Equal(got, []string{"*.a.test", "b.test"}) {
		t.Errorf("%q", got)
	}
}

// Files come from people and programs.
func FuzzParsePEM(f *testing.F) {
	m := issue(f, nil, year, nil, "a.test")
	for _, seed := range []string{"", m.cert, m.key, m.key + m.cert, m.cert[:60], "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "-----BEGIN X PRIVATE KEY-----\nAAAA\n-----END X PRIVATE KEY-----"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parsePEM("x", data)
		if err != nil || c == nil {
			return
		}
		certs, _ := pair([]*content{c})
		for _, cert := range certs {
			if len(Names(cert.TLS.Leaf)) == 0 || len(cert.TLS.Certificate) == 0 {
				t.Error("a certificate for nothing")
			}
		}
	})
}
