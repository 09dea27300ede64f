package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"portway/internal/dockertest"
	"portway/internal/need"
	"portway/internal/pebbletest"
)

// good is a static route that must keep working whatever else goes wrong.
func good(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	writeFile(t, filepath.Join(folder, "good.yaml"), fmt.Sprintf("good:\n  host: good.test\n  to: [%q]\n", origin(t, "still here")))
	return folder
}

func (p *portway) stillGood(t *testing.T) {
	t.Helper()
	if body := waitStatus(t, p.client(t, nil), "https://good.test/", 200); body != "still here" {
		t.Errorf("the good route answers %q", body)
	}
}

// TestBadContainers shows, for each mistake in labels or networks, the message,
// and that other routes keep working.
func TestBadContainers(t *testing.T) {
	engine := dockertest.Require(t)
	image := engine.Image(t, dockertest.Origin)
	p := start(t, "--docker="+engine.Host, "--routes="+good(t))
	p.stillGood(t)

	t.Run("unparsable label", func(t *testing.T) {
		c := engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{"portway.host": "bad label.test"}})
		p.problem(t, c.Name, "portway.host", "bad label.test")
		p.log.line(t, c.Name, "portway.host")
	})
	t.Run("misspelt label", func(t *testing.T) {
		c := engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{"portway.hots": "typo.test"}})
		p.problem(t, c.Name, "portway.hots", "portway.host")
	})
	t.Run("missing port", func(t *testing.T) {
		c := engine.Run(t, dockertest.Spec{Image: image, Labels: map[string]string{"portway.host": "noport.test"}})
		p.problem(t, c.Name, "portway.port")
		waitStatus(t, p.client(t, nil), "https://noport.test/", 503)
	})
	t.Run("ambiguous port", func(t *testing.T) {
		c := engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80", "9000"}, Labels: map[string]string{"portway.host": "ports.test"}})
		p.problem(t, c.Name, "portway.port", "80", "9000")
	})
	t.Run("duplicate host", func(t *testing.T) {
		first := engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{"portway.host": "twice.test"}})
		waitStatus(t, p.client(t, nil), "https://twice.test/", 200)
		second := engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{"portway.host": "twice.test"}})
		p.problem(t, first.Name, second.Name, "twice.test")
		waitStatus(t, p.client(t, nil), "https://twice.test/", 200)
	})
	p.stillGood(t)
}

// TestAmbiguousNetwork has Portway and a container share two networks: the choice
// is reported, never random.
func TestAmbiguousNetwork(t *testing.T) {
	portwayImage, whoamiImage := dockertest.Product(t)
	engine := dockertest.Require(t)
	one, two := engine.Network(t), engine.Network(t)
	both := []string{one, two}
	engine.Run(t, dockertest.Spec{Image: whoamiImage, Networks: both, Labels: map[string]string{"portway.host": "clear.test", "portway.network": two}})
	lost := engine.Run(t, dockertest.Spec{Image: whoamiImage, Networks: both, Labels: map[string]string{"portway.host": "unclear.test"}})
	proxy := engine.Run(t, dockertest.Spec{Image: portwayImage, Networks: both, Binds: []string{"/var/run/docker.sock:/var/run/docker.sock:ro"}})
	addr := proxy.Addr(t, one).String()
	client := clientFor(addr+":80", addr+":443", internalRoot(t, addr+":80"))
	waitStatus(t, client, "https://clear.test/", 200)
	logs := func() string {
		out, _ := exec.Command("docker", "logs", proxy.Name).CombinedOutput() // empty if it fails
		return string(out)
	}
	eventually(t, 10*time.Second, func() error {
		for line := range strings.Lines(logs()) {
			if containsAll(line, lost.Name, one, two, "portway.network") {
				return nil
			}
		}
		return fmt.Errorf("the log does not name the networks: %s", logs())
	})
}

// TestBadEngine shows what is said of an engine that is not there or talks
// nonsense, and that static routes are served without it.
func TestBadEngine(t *testing.T) {
	t.Run("unreachable", func(t *testing.T) {
		t.Parallel()
		socket := filepath.Join(t.TempDir(), "no.sock")
		p := start(t, "--docker=unix://"+socket, "--routes="+good(t))
		p.problem(t, socket)
		p.log.line(t, socket)
		p.stillGood(t)
	})
	t.Run("garbage", func(t *testing.T) {
		t.Parallel()
		for name, answer := range map[string]string{
			"not HTTP": engineGarbage,
			"not JSON": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nApi-Version: 1.41\r\nConnection: close\r\n\r\n" + engineGarbage,
			"wrong JSON": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nApi-Version: 1.41\r\nConnection: close\r\n\r\n" +
				`[{"Id":7,"Names":"x","Labels":[]}]`,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := start(t, "--docker=unix://"+fakeEngine(t, answer), "--routes="+good(t))
				p.problem(t, "engine")
				p.stillGood(t)
			})
		}
	})
}

// engineGarbage is what an engine that lost its mind says.
var engineGarbage = strings.Repeat("\x00<html>{]", 200)

// fakeEngine gives every connection the same answer.
func fakeEngine(t *testing.T, answer string) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine") // short: socket paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, answer)
			}()
		}
	}()
	return socket
}

// TestBadCA shows the message for a wrong ACME directory, in the log and on the
// site itself, and that names of the internal CA are served all the same.
func TestBadCA(t *testing.T) {
	notACME := origin(t, "<html>welcome</html>")
	for name, directory := range map[string]string{"unreachable": "http://127.0.0.1:1/directory", "not ACME": notACME + "/directory"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			routes := good(t)
			writeFile(t, filepath.Join(routes, "public.yaml"), fmt.Sprintf("public:\n  host: app.example.com\n  to: [%q]\n", origin(t, "secret")))
			p := start(t, "--acme-directory="+directory, "--routes="+routes)
			cert := p.certificate(t, "app.example.com", "failed")
			if cert.LastError == "" || cert.NextTry == nil || !cert.NextTry.After(time.Now().Add(-time.Minute)) {
				t.Errorf("what is known of the certificate: %+v", cert)
			}
			p.log.line(t, "app.example.com", directory)
			body := waitStatus(t, p.client(t, nil), "http://app.example.com/", 503)
			if !containsAll(body, "certificate") || strings.Contains(body, "secret") {
				t.Errorf("the site says: %s", body)
			}
			p.stillGood(t)
		})
	}
}

// TestBadStorage shows the message for storage that cannot be written, at the
// start and later, and that names which have a certificate are served on.
func TestBadStorage(t *testing.T) {
	if os.Geteuid() != 0 {
		need.Missing(t, "this test must run as root, to mount a small file system")
	}
	t.Run("read-only at the start", func(t *testing.T) {
		folder := mount(t)
		remount(t, folder, syscall.MS_RDONLY)
		p := start(t, "--storage="+folder, "--routes="+good(t))
		select {
		case <-p.ended:
		case <-time.After(10 * time.Second):
			t.Fatal("Portway runs on storage that it cannot write")
		}
		if p.cmd.ProcessState.Success() {
			t.Error("exit status 0")
		}
		p.log.line(t, folder, "read-only")
	})
	t.Run("read-only later", func(t *testing.T) {
		folder := mount(t)
		testLater(t, folder, "read-only", func() { remount(t, folder, syscall.MS_RDONLY) })
	})
	t.Run("full", func(t *testing.T) {
		folder := mount(t)
		testLater(t, folder, "no space", func() { fill(t, folder) })
	})
}

// testLater breaks the storage of a running Portway and then has a CA issue a
// certificate that cannot be stored.
func testLater(t *testing.T, folder, why string, breakIt func()) {
	ca := pebbletest.Start(t, pebbletest.Options{HTTPPort: 1, TLSPort: 1}) // the storage fails before any challenge
	routes := good(t)
	p := start(t, "--storage="+folder, "--routes="+routes, "--acme-directory="+ca.Directory, "--acme-roots="+ca.RootsFile)
	p.stillGood(t)
	breakIt()
	writeFile(t, filepath.Join(routes, "late.yaml"), fmt.Sprintf("late:\n  host: late.example.com\n  to: [%q]\n", origin(t, "late")))
	p.log.line(t, "late.example.com", why)
	cert := p.certificate(t, "late.example.com", "failed")
	if !containsAll(cert.LastError, why) {
		t.Errorf("what is known of the certificate: %+v", cert)
	}
	p.stillGood(t)
}

func mount(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=512k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func remount(t *testing.T, folder string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT|flags, "size=512k,mode=0700"); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, folder string) {
	t.Helper()
	f, err := os.Create(filepath.Join(folder, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// TestBadSettings shows that a wrong setting stops the start with a message that
// names it in the form in which it was given.
func TestBadSettings(t *testing.T) {
	for _, c := range [][]string{
		{"--https=nonsense", "--https", "nonsense"},
		{"--drain=soon", "--drain", "soon"},
		{"--trusted-proxies=10.0.0.0/99", "--trusted-proxies", "10.0.0.0/99"},
		{"--acme-roots=/no/such.pem", "--acme-roots", "/no/such.pem"},
	} {
		t.Run(c[0], func(t *testing.T) {
			t.Parallel()
			p := start(t, c[0])
			select {
			case <-p.ended:
			case <-time.After(10 * time.Second):
				t.Fatal("Portway runs with it")
			}
			if p.cmd.ProcessState.Success() {
				t.Error("exit status 0")
			}
			if !containsAll(p.log.String(), c[1:]...) {
				t.Errorf("it says: %s", p.log)
			}
		})
	}
}
