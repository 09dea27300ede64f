package discovery

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/client"
)

// Endpoint says where an engine is and how to speak to it.
type Endpoint struct {
	// Host is like "unix:///var/run/docker.sock" or "tcp://10.0.0.2:2376". Empty:
	// what DOCKER_HOST and its companions say, or else the first socket that is
	// there of Docker's, rootless Docker's and Podman's.
	Host string
	CA   string // PEM files for a TLS-secured tcp endpoint; all three or none
	Cert string
	Key  string
}

var _ Engine = (*client.Client)(nil)

// Dial prepares a client for the endpoint, which negotiates the API version at
// its first call; it does not connect. It fails if the endpoint makes no sense
// or its files cannot be read.
func Dial(e Endpoint) (Engine, error) {
	opts := []client.Opt{client.WithUserAgent("portway"), client.WithAPIVersionNegotiation()}
	secure := e.CA != "" || e.Cert != "" || e.Key != ""
	if secure {
		if e.CA == "" || e.Cert == "" || e.Key == "" {
			return nil, fmt.Errorf("docker engine: a TLS-secured endpoint needs all of CA, certificate and key; got CA %q, certificate %q, key %q", e.CA, e.Cert, e.Key)
		}
		opts = append(opts, client.WithTLSClientConfig(e.CA, e.Cert, e.Key))
	}
	switch {
	case e.Host != "":
		host, err := checkHost(e.Host, secure)
		if err != nil {
			return nil, err
		}
		opts = append(opts, client.WithHost(host))
	case os.Getenv(client.EnvOverrideHost) != "":
		host, err := checkHost(os.Getenv(client.EnvOverrideHost), secure || os.Getenv(client.EnvOverrideCertPath) != "")
		if err != nil {
			return nil, err
		}
		opts = append(opts, client.WithHost(host))
		if !secure {
			opts = append(opts, client.WithTLSClientConfigFromEnv())
		}
	default:
		opts = append(opts, client.WithHost(defaultHost()))
	}
	c, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker engine: %w", err)
	}
	return c, nil
}

// checkHost tells whether host is an address that the client can speak to, and
// adds the usual port where one is missing.
func checkHost(host string, secure bool) (string, error) {
	scheme, addr, ok := strings.Cut(host, "://")
	switch {
	case !ok || addr == "":
		return "", fmt.Errorf("docker engine: %q is no address; write it like unix:///var/run/docker.sock or tcp://10.0.0.2:2375", host)
	case scheme == "unix":
		return host, nil
	case scheme != "tcp":
		return "", fmt.Errorf("docker engine: %q: cannot speak %s; use unix:// or tcp://", host, scheme)
	}
	name, path, _ := strings.Cut(addr, "/")
	if path != "" {
		path = "/" + path
	}
	if _, _, err := net.SplitHostPort(name); err == nil {
		return host, nil
	}
	port := "2375"
	if secure {
		port = "2376"
	}
	return "tcp://" + net.JoinHostPort(strings.Trim(name, "[]"), port) + path, nil
}

// defaultHost is the first socket that is there.
func defaultHost() string {
	sockets := []string{"/var/run/docker.sock"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman", "podman.sock"))
	}
	sockets = append(sockets, "/run/podman/podman.sock")
	for _, s := range sockets {
		if _, err := os.Stat(s); err == nil {
			return "unix://" + s
		}
	}
	return "unix://" + sockets[0]
}
