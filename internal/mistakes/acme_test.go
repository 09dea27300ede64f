package mistakes

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"portway/certs"
	"portway/certs/preflight"
	"portway/internal/need"
	"portway/internal/pebbletest"
	"portway/route"
)

// acme is a real CA and the owner of certificates that asks it, with what is wrong there.
type acme struct {
	storage string
	port    int // where the CA looks for names
	checker *preflight.Checker
	manager *certs.Manager
}

// newACME starts them; listening is the port at which Portway serves plain HTTP. The mistake
// is one of
//
//	elsewhere: names lead to another machine, on which a web server runs
//	blocked: nothing of what comes to port 80 gets here
//	caa: the DNS lets another CA certify only
//	limit: the CA says that there were too many certificates
//	read-only: the storage folder is, since it has been mounted anew
func newACME(t *testing.T, mistake string, listening int, logger *slog.Logger) (*acme, map[string]string) {
	t.Helper()
	a := &acme{storage: filepath.Join(t.TempDir(), "data"), port: listening}
	if err := os.Mkdir(a.storage, 0o700); err != nil {
		t.Fatal(err)
	}
	switch mistake {
	case "elsewhere":
		l, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		other := httptest.NewUnstartedServer(http.NotFoundHandler())
		_ = other.Listener.Close()
		other.Listener = l
		other.Start()
		t.Cleanup(other.Close)
		a.port = l.Addr().(*net.TCPAddr).Port
	case "blocked":
		a.port, _ = strconv.Atoi(silent(t))
	}
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: a.port, TLSPort: a.port})
	directory, roots := p.Directory, p.RootsFile
	switch mistake {
	case "elsewhere":
		p.SetA("app.example.com", "127.0.0.2")
	case "caa":
		p.SetCAA("example.com", "other.example")
	case "limit":
		directory, roots = limited(t, p.Directory)
	case "read-only":
		if os.Geteuid() != 0 {
			need.Missing(t, "this test must run as root, to mount a folder read-only")
		}
		if err := syscall.Mount("portway-test", a.storage, "tmpfs", 0, "size=256k,mode=700"); err != nil {
			need.Missing(t, "no file system can be mounted: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(a.storage, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	case "blocked":
	default:
		t.Fatalf("unknown mistake %q", mistake)
	}
	a.checker = preflight.New([]string{p.Resolver()})
	manager, err := certs.New(certs.Config{
		Storage: a.storage, Directory: directory, Roots: roots, HTTPPort: a.port, TLSPort: -1,
		Preflight: a.checker, PreflightAll: true, ReachPort: a.port, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	a.manager = manager
	if mistake == "read-only" {
		if err := syscall.Mount("portway-test", a.storage, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := url.Parse(directory)
	if err != nil {
		t.Fatal(err)
	}
	return a, map[string]string{"$CA": ca.Host, "$CA80": strconv.Itoa(a.port), "$STORAGE": a.storage}
}

// limited stands in front of a CA and refuses orders as Let's Encrypt does.
func limited(t *testing.T, directory string) (limitedDirectory, roots string) {
	t.Helper()
	to, err := url.Parse(directory)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host})
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // it is the CA of this test
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/order-plz" {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTooManyRequests)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"type": "urn:ietf:params:acme:error:rateLimited", "status": 429,
			"detail": "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
		})
	}))
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL + to.Path, file
}

// tried waits until each name has been tried once.
func (a *acme) tried(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		waiting := false
		for _, s := range a.manager.All() {
			waiting = waiting || s.LastError == ""
		}
		switch {
		case !waiting:
			return
		case time.Now().After(deadline):
			t.Fatalf("nothing has failed: %+v", a.manager.All())
		}
	}
}

// setTable has the names of a table certified.
func (a *acme) setTable(t *route.Table) {
	var names []certs.Name
	for _, n := range t.Names() {
		names = append(names, certs.Name{Name: n.Host})
	}
	a.manager.SetNames(names)
}
