package e2e

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"portway/internal/dockertest"
	"portway/internal/pebbletest"
)

// TestFirstHTTPS is the main job: Portway from its own image, started with
// compose, gets a certificate from a real ACME server for a container with one
// label and nothing else; a changed label is served within a second; scaling,
// stopping and removing do what the README says.
func TestFirstHTTPS(t *testing.T) {
	portwayImage, whoamiImage := dockertest.Product(t)
	engine := dockertest.Require(t)
	network := engine.Network(t)
	gateway := gatewayOf(t, engine, network)
	ca := pebbletest.Start(t, pebbletest.Options{Bind: gateway.String(), HTTPPort: 80, TLSPort: 443, Address: "127.0.0.1"})
	roots, err := os.ReadFile(ca.RootsFile)
	if err != nil {
		t.Fatal(err)
	}
	rootsFile := t.TempDir() + "/roots.pem"
	if err := os.WriteFile(rootsFile, roots, 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(host string) string {
		return fmt.Sprintf(`services:
  portway:
    image: %s
    environment:
      PORTWAY_ACME_DIRECTORY: %s
      PORTWAY_ACME_ROOTS: /roots.pem
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
      - %s:/roots.pem:ro
      - data:/data
  app:
    image: %s
    labels:
      portway.host: %s
volumes:
  data: {}
networks:
  default:
    external: true
    name: %s
`, portwayImage, ca.Directory, rootsFile, whoamiImage, host, network)
	}
	c := newComposer(t, file("app.example.com"))
	c.run(t, "up", "-d", "portway")
	address := addressOf(t, engine, c.run(t, "ps", "-q", "portway"), network)
	ca.SetAddress(address.String())
	eventually(t, 10*time.Second, func() error { return healthy(c) })

	// The clock starts when compose returns from starting the container, as it
	// does for a user who types the command and then reloads the page.
	client := clientFor(address.String()+":80", address.String()+":443", ca.Roots())
	c.run(t, "create", "app")
	id := c.run(t, "ps", "-aq", "app")
	if id == "" {
		id = c.run(t, "ps", "-q", "app")
	}
	begin := time.Now()
	if err := engine.ContainerStart(t.Context(), id, startOptions); err != nil {
		t.Fatal(err)
	}
	body := waitStatus(t, client, "https://app.example.com/", 200)
	first := time.Since(begin)
	if !strings.Contains(body, "app.example.com") {
		t.Errorf("the app does not see its host: %.300s", body)
	}
	checkIssuer(t, address.String()+":443", "app.example.com", ca.Roots())
	status, _, err := get(client, "http://app.example.com/x?y=1")
	if err != nil || status != 308 {
		t.Errorf("plain HTTP: status %d, %v", status, err)
	}
	if got := ca.Orders(); got != 1 {
		t.Errorf("%d orders for one name", got)
	}

	t.Run("scale", func(t *testing.T) {
		c.run(t, "up", "-d", "--no-recreate", "--scale", "app=3", "app")
		seen := map[string]bool{}
		eventually(t, 20*time.Second, func() error {
			name, err := replica(client, "https://app.example.com/")
			if err != nil {
				return err
			}
			seen[name] = true
			if len(seen) < 3 {
				return fmt.Errorf("only %v answered", seen)
			}
			return nil
		})
		c.run(t, "up", "-d", "--no-recreate", "--scale", "app=1", "app")
	})

	// A label changes: compose makes a new container. The name's certificate is made
	// first, so that what is timed is the new route.
	changed := changeLabel(t, c, client, file("app.example.com,next.example.com"), "https://next.example.com/")

	t.Run("stop and remove", func(t *testing.T) {
		c.run(t, "stop", "-t", "1", "app")
		if body := waitStatus(t, client, "https://app.example.com/", 503); body == "" {
			t.Error("503 without a word")
		}
		c.run(t, "rm", "-f", "app")
		waitStatus(t, client, "http://app.example.com/", 404)
	})
	t.Logf("FIGURES container start to first HTTPS 200 with a new ACME certificate: %v (limit 5s); changed label to new route served: %v (limit 1s)",
		first.Round(time.Millisecond), changed.Round(time.Millisecond))
	if first > 5*time.Second {
		t.Errorf("first HTTPS answer took %v", first)
	}
	if changed > time.Second {
		t.Errorf("the changed label took %v", changed)
	}
}

// changeLabel applies a compose file in which the app's label is another, and
// measures from the start of the new container until the new route answers over
// plain HTTP (with a redirect or, before its certificate is there, a 503 that says
// so) instead of 404.
func changeLabel(t *testing.T, c *composer, client *http.Client, content, url string) time.Duration {
	t.Helper()
	plain := strings.Replace(url, "https:", "http:", 1)
	if status, _, err := get(client, plain); err != nil || status != 404 {
		t.Fatalf("before the change: status %d, %v", status, err)
	}
	c.update(t, content)
	c.run(t, "up", "-d", "app")
	id := c.run(t, "ps", "-q", "app")
	started := startedAt(t, id)
	var took time.Duration
	eventually(t, 10*time.Second, func() error {
		status, body, err := get(client, plain)
		if err != nil {
			return err
		}
		if status == 404 {
			return fmt.Errorf("still 404: %.200s", body)
		}
		took = time.Since(started)
		return nil
	})
	eventually(t, 10*time.Second, func() error {
		status, _, err := get(client, url)
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	return took
}

func checkIssuer(t *testing.T, addr, name string, roots *x509.CertPool) {
	t.Helper()
	leaf := leafOf(t, addr, name)
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: intermediatesOf(t, addr, name)}); err != nil {
		t.Errorf("the certificate of %s is not the CA's: %v", name, err)
	}
}

func gatewayOf(t *testing.T, engine *dockertest.Engine, network string) netip.Addr {
	t.Helper()
	n, err := engine.NetworkInspect(t.Context(), network, inspectNetwork)
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddr(n.IPAM.Config[0].Gateway)
}

func addressOf(t *testing.T, engine *dockertest.Engine, id, network string) netip.Addr {
	t.Helper()
	r, err := engine.ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddr(r.NetworkSettings.Networks[network].IPAddress)
}
