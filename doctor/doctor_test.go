package doctor

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"portway/discovery"
)

// TestTakenPort: who has a port is named, and a Portway that runs may have its own.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	for network, address := range map[string]string{"tcp": tcp.Addr().String(), "udp": udp.LocalAddr().String()} {
		f := Port(context.Background(), network, address, false)
		if f.Status != Bad || !strings.Contains(f.What, "(process "+strconv.Itoa(os.Getpid())+")") {
			t.Errorf("%s taken by this process: %s", network, f)
		}
		if f := Port(context.Background(), network, address, true); f.Status != Good {
			t.Errorf("%s taken by Portway: %s", network, f)
		}
	}
	if f := Port(context.Background(), "tcp", "127.0.0.1:0", false); f.Status != Good {
		t.Errorf("free: %s", f)
	}
	if f := Port(context.Background(), "tcp", "192.0.2.1:80", false); f.Status != Bad {
		t.Errorf("not of this machine: %s", f)
	}
}

func TestStorage(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data")
	check := func(want Status, part string) {
		t.Helper()
		if f := Storage(folder); f.Status != want || !strings.Contains(f.What, part) {
			t.Errorf("want %s with %q: %s", want, part, f)
		}
	}
	check(Good, "will be made")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	check(Good, "is writable")
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	check(Warning, "mode 0755")
	folder = "/proc/self" // which takes no files, whoever asks
	check(Bad, "is not writable")
	folder = "/proc/self/status"
	check(Bad, "is no folder")
}

// TestEngineAway: an engine that cannot be reached is told about as the running Portway would.
func TestEngineAway(t *testing.T) {
	t.Parallel()
	e, err := discovery.Dial(discovery.Endpoint{Host: "unix://" + filepath.Join(t.TempDir(), "docker.sock")})
	if err != nil {
		t.Fatal(err)
	}
	r := Engine(context.Background(), e)
	if r.Healthy() || len(r) != 1 || !strings.Contains(r[0].What, "there is no such socket") || r[0].Fix == "" {
		t.Errorf("%v", r)
	}
}

// TestCA: a CA that answers, with a clock of its own, and one that does not.
func TestCA(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
	}))
	r := CA(context.Background(), s.URL, nil)
	if len(r) != 2 || r[0].Status != Good || r[1].Status != Bad || !strings.Contains(r[1].What, "ahead of the CA's") {
		t.Errorf("%v", r)
	}
	s.Close()
	if r := CA(context.Background(), s.URL, nil); r.Healthy() {
		t.Errorf("gone: %v", r)
	}
}

// TestIPv6Clients: ports published for IPv6, of a container that has only IPv4, and of one
// that has both.
func TestIPv6Clients(t *testing.T) {
	t.Parallel()
	endpoint := &network.EndpointSettings{IPAddress: "172.17.0.2"}
	self := container.InspectResponse{NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{"edge": endpoint}}}
	check := func(what, version string, want Status) {
		t.Helper()
		if r := throughProxy(self, version); len(r) != 1 || r[0].Status != want {
			t.Errorf("%s: %v", what, r)
		}
	}
	self.NetworkSettings.Ports = nat.PortMap{"443/tcp": {{HostIP: "0.0.0.0", HostPort: "443"}}}
	check("published for IPv4 only", "28.0.1", Good)
	self.NetworkSettings.Ports["443/tcp"] = append(self.NetworkSettings.Ports["443/tcp"], nat.PortBinding{HostIP: "::", HostPort: "443"})
	check("published for IPv6", "28.0.1", Warning)
	endpoint.GlobalIPv6Address = "fd00::2"
	check("with an IPv6 address", "28.0.1", Good)
	check("with one, by an engine that does not say its version", "", Good)
	check("with one, by an engine that needs to be told", "20.10.24", Unknown)
}
