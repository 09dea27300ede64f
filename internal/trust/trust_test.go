package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func newRoot(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// fakeMachine has folders below a temporary one, and notes what is run.
func fakeMachine(t *testing.T, system string, folders ...string) (m *Machine, ran *[]string) {
	t.Helper()
	m = &Machine{OS: system, Root: t.TempDir()}
	for _, folder := range folders {
		if err := os.MkdirAll(m.Root+folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ran = new([]string)
	m.Run = func(name string, args ...string) ([]byte, error) {
		*ran = append(*ran, strings.Join(append([]string{name}, args...), " "))
		return nil, nil
	}
	m.Has = func(string) bool { return true }
	return m, ran
}

func TestSystemStores(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "a")
	for _, s := range systemStores {
		m, ran := fakeMachine(t, "linux", s.folder)
		for range 2 {
			for _, store := range m.Install(root) {
				if store.Err != nil {
					t.Errorf("%s: %v", store.Name, store.Err)
				}
			}
		}
		files, _ := filepath.Glob(m.Root + s.folder + "/portway-*" + s.ending)
		if len(files) != 1 || !slices.Contains(*ran, strings.Join(s.apply, " ")) {
			t.Fatalf("%s: files %v, ran %v", s.folder, files, *ran)
		}
		if content, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(content, encode(root)) {
			t.Errorf("%s: the file is not the root: %v", s.folder, err)
		}
		*ran = nil
		m.Uninstall(root)
		if files, _ := filepath.Glob(m.Root + s.folder + "/*"); len(files) > 0 || len(*ran) != 1 {
			t.Errorf("%s: after the removal: %v, ran %v", s.folder, files, *ran)
		}
		m.Uninstall(root)
		if len(*ran) != 1 {
			t.Errorf("%s: removed twice: %v", s.folder, *ran)
		}
	}
}

func TestWhatCannotBeInstalled(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "a")
	m, _ := fakeMachine(t, "linux")
	if s := m.Install(root); len(s) != 1 || s[0].Err == nil || !strings.Contains(s[0].Err.Error(), "ca-certificates") {
		t.Errorf("no store: %v", s)
	}
	m, _ = fakeMachine(t, "plan9")
	if s := m.Install(root); len(s) != 1 || s[0].Err == nil {
		t.Errorf("an unknown system: %v", s)
	}
	m, _ = fakeMachine(t, "linux", systemStores[0].folder, "/home/jo/.mozilla/firefox/x.default")
	m.Homes = []string{m.Root + "/home/jo"}
	m.Run = func(string, ...string) ([]byte, error) { return []byte("no space left\n"), errors.New("exit status 1") }
	m.Has = func(program string) bool { return program != "certutil" }
	if err := os.WriteFile(m.Root+"/home/jo/.mozilla/firefox/x.default/cert9.db", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := m.Install(root)
	if len(s) != 2 || s[0].Err == nil || !strings.Contains(s[0].Err.Error(), "no space left") || s[1].Err == nil || !strings.Contains(s[1].Err.Error(), "libnss3-tools") {
		t.Errorf("%v", s)
	}
}

func TestMacOS(t *testing.T) {
	t.Parallel()
	m, ran := fakeMachine(t, "darwin")
	m.Install(newRoot(t, "a"))
	m.Uninstall(newRoot(t, "a"))
	if len(*ran) != 2 || !strings.HasPrefix((*ran)[0], "security add-trusted-cert -d -r trustRoot -k "+keychain) || !strings.HasPrefix((*ran)[1], "security remove-trusted-cert -d ") {
		t.Errorf("%q", *ran)
	}
}

// With the real program, databases of a browser have the root, and lose it again.
func TestBrowsers(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	m := &Machine{OS: "linux", Root: t.TempDir(), Homes: []string{home}, Run: Run, Has: Has}
	known := map[string]bool{}
	if !Has("certutil") { // the same steps, by what the program would do
		m.Has = func(string) bool { return true }
		m.Run = func(_ string, args ...string) ([]byte, error) {
			key := args[2]
			switch {
			case args[0] == "-A":
				known[key] = true
			case args[0] == "-D":
				delete(known, key)
			case args[0] == "-L" && !known[key]:
				return []byte("could not find certificate"), errors.New("exit status 255")
			}
			return nil, nil
		}
	}
	root := newRoot(t, "a")
	for _, folder := range []string{".pki/nssdb", ".mozilla/firefox/abc.default-release"} {
		folder = filepath.Join(home, folder)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if !Has("certutil") {
			if err := os.WriteFile(filepath.Join(folder, "cert9.db"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		} else if out, err := Run("certutil", "-N", "--empty-password", "-d", "sql:"+folder); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	has := func() (n int) {
		for _, folder := range []string{".pki/nssdb", ".mozilla/firefox/abc.default-release"} {
			if _, err := m.Run("certutil", "-L", "-d", "sql:"+filepath.Join(home, folder), "-n", name(root)); err == nil {
				n++
			}
		}
		return n
	}
	for range 2 {
		for _, s := range m.browsers(root, true) {
			if s.Err != nil {
				t.Fatal(s.Err)
			}
		}
		if has() != 2 {
			t.Fatal("the root is not in both databases")
		}
	}
	for range 2 {
		for _, s := range m.browsers(root, false) {
			if s.Err != nil {
				t.Fatal(s.Err)
			}
		}
		if has() != 0 {
			t.Fatal("the root is still there")
		}
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	a, b := newRoot(t, `A & <B>`), newRoot(t, "b")
	profile := Profile([]*x509.Certificate{a, b})
	if !bytes.Equal(profile, Profile([]*x509.Certificate{a, b})) {
		t.Error("the same roots make another profile")
	}
	for d := xml.NewDecoder(bytes.NewReader(profile)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, profile)
		}
	}
	for _, want := range []string{"com.apple.security.root", "A &amp; &lt;B&gt;", base64.StdEncoding.EncodeToString(a.Raw), base64.StdEncoding.EncodeToString(b.Raw)} {
		if !strings.Contains(string(profile), want) {
			t.Errorf("no %q in\n%s", want, profile)
		}
	}
	ids := regexp.MustCompile(`[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}`).FindAllString(string(profile), -1)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 3 {
		t.Errorf("UUIDs %v", ids)
	}
}

func TestQR(t *testing.T) {
	t.Parallel()
	code, err := QR("http://192.168.1.10/.well-known/portway/ca.crt", false)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(code, "\n"), "\n")
	width := len([]rune(lines[0]))
	for _, line := range lines {
		if len([]rune(line)) != width || !strings.HasPrefix(line, "████") || !strings.HasSuffix(line, "████") {
			t.Errorf("no frame: %q", line)
		}
	}
	if height := 2 * len(lines); width < 29 || height != width && height != width+1 {
		t.Errorf("%d wide and %d high", width, height)
	}
	// The square at a corner: seven black, five white, seven black.
	if !strings.HasPrefix(lines[2], "████ ▄▄▄▄▄ ") {
		t.Errorf("no mark at the corner:\n%s", code)
	}
	if coloured, _ := QR("x", true); !strings.HasPrefix(coloured, "\x1b[40;97m") || !strings.Contains(coloured, "\x1b[0m\n") {
		t.Error("no colours")
	}
	if _, err := QR(strings.Repeat("x", 10000), false); err == nil {
		t.Error("too much fits")
	}
}
