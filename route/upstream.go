package route

import (
	"strconv"
	"strings"
)

// Scheme is how an upstream is spoken to.
type Scheme string

// The schemes of an upstream.
const (
	HTTP  Scheme = "http"  // HTTP/1.1
	HTTPS Scheme = "https" // HTTP/2 or HTTP/1.1 over TLS, by ALPN
	H2C   Scheme = "h2c"   // HTTP/2 with prior knowledge, without TLS (gRPC)
)

// State says whether an upstream can be given requests.
type State uint8

// The states of an upstream. Only Ready gets requests.
const (
	Ready State = iota
	Starting
	Unhealthy
	Paused
	Stopping
	Stopped
)

// String names the state for people.
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Starting:
		return "starting"
	case Unhealthy:
		return "unhealthy"
	case Paused:
		return "paused"
	case Stopping:
		return "stopping"
	case Stopped:
		return "stopped"
	}
	return "state " + strconv.Itoa(int(s))
}

// Upstream is one replica of an origin.
type Upstream struct {
	ID      string // stable identity, for example container ID and port: live state is keyed by it
	Name    string // for people: the container's name, or the URL of a static origin
	Network string // "tcp" or "unix"
	Address string // "172.18.0.3:80" or "/run/app.sock"
	Scheme  Scheme
	State   State
	Reason  string // why it is not Ready, for people; may be empty
}

// Advice is how to find out why a container is in a state that nothing else says anything
// about; empty if there is nothing to say.
func Advice(name, state, reason string) string {
	switch {
	case strings.Contains(name, "://"): // no container
	case state == Unhealthy.String() && reason == "fails its health check":
		return "see what its health check says: docker inspect -f '{{json .State.Health.Log}}' " + name
	case state == Starting.String() && strings.HasPrefix(reason, "is restarting"):
		return "see why it ends: docker logs " + name
	}
	return ""
}
