package exampletest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"portway/internal/need"
)

// The commands of the README make the files; what it promises is tried.
func TestCertificates(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		need.Missing(t, "there is no openssl (apt-get install openssl)")
	}
	for version, command := range composes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			e := prepare(t, "certificates", command, nil)
			readme, err := os.ReadFile(filepath.Join(e.folder, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			script := func(pattern string) {
				t.Helper()
				found := regexp.MustCompile(pattern).FindSubmatch(readme)
				if found == nil {
					t.Fatal("the README has no commands any more")
				}
				cmd := exec.Command("sh", "-ec", string(found[1]))
				cmd.Dir = e.folder
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			script("(?s)```sh\n(.*?)docker compose up")
			e.up(t)

			own, err := os.ReadFile(filepath.Join(e.folder, "own", "shop.crt"))
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(own)
			shop, admin := "shop."+e.suffix, "admin."+e.suffix
			e.reaches(t, e.client(t, roots), shop, "/")

			c := e.client(t, nil)
			eventually(t, func() error { return refuses(c, fmt.Sprintf("https://%s:%d/", admin, e.https)) })
			pair, err := tls.LoadX509KeyPair(filepath.Join(e.folder, "jo.crt"), filepath.Join(e.folder, "jo.key"))
			if err != nil {
				t.Fatal(err)
			}
			transport := e.client(t, nil).Transport.(*http.Transport)
			transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
			jo := &http.Client{Transport: transport, Timeout: c.Timeout}
			eventually(t, func() error { // it may still be starting: who is not let in does not learn that
				said, err := body(jo.Get(fmt.Sprintf("https://%s:%d/", admin, e.https)))
				if err == nil && !strings.Contains(said, "CN=jo") {
					err = fmt.Errorf("the application is told: %s", said)
				}
				return err
			})
			script("(?s)lost the key:\n\n```sh\n(.*?)```")
			eventually(t, func() error { return refuses(jo, fmt.Sprintf("https://%s:%d/", admin, e.https)) })
		})
	}
}

// refuses tells whether url answers 403.
func refuses(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		return fmt.Errorf("%s: %s, want 403", url, resp.Status)
	}
	return nil
}
