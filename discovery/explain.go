package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/versions"

	"portway/label"
)

// engineTrouble says, for people, why there is nothing to hear from the engine
// at host, and what to do.
func engineTrouble(host string, err error) label.Problem {
	p := label.Problem{Source: "Docker engine " + host}
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	path, local := strings.CutPrefix(host, "unix://")
	switch {
	case local && socketTrouble(&p, path, err):
	case errors.Is(err, context.DeadlineExceeded):
		p.Why = "does not answer in time"
		p.Fix = "see whether docker ps answers on that machine"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		p.Why = "closed the connection"
		p.Fix = "see whether the engine is being restarted"
	case cerrdefs.IsPermissionDenied(err):
		p.Why = "refuses a call: " + oneLine(err)
		p.Fix = "if it is behind a socket proxy, allow it GET on /_ping, /info, /events and /containers"
	case errors.As(err, &syntax), errors.As(err, &shape):
		p.Why = "answers what is no Docker API: " + oneLine(err)
		p.Fix = "check that the address is that of a Docker engine"
	default:
		p.Why = oneLine(err)
		p.Fix = "check the engine's address, and that the engine runs"
	}
	return p
}

// socketTrouble looks at the socket itself, since the client's errors do not
// tell a missing one from one that nobody listens on.
func socketTrouble(p *label.Problem, path string, err error) bool {
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(statErr, os.ErrNotExist):
		p.Why = "there is no such socket"
		p.Fix = "mount it into the container (volumes: /var/run/docker.sock:/var/run/docker.sock:ro), or set DOCKER_HOST"
	case statErr == nil && info.IsDir():
		p.Why = "is a folder and no socket, as happens when a path is mounted that was not there on the host"
		p.Fix = "remove the folder on the host, start the engine, and create this container anew"
	case errors.Is(err, os.ErrPermission), strings.Contains(err.Error(), "permission denied"):
		p.Why = "this process may not use the socket"
		p.Fix = "run Portway as root or in the socket's group"
		if info != nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				p.Fix += fmt.Sprintf(" (group_add: [%q])", fmt.Sprint(st.Gid))
			}
		}
	case strings.Contains(err.Error(), "Cannot connect to the Docker daemon"):
		p.Why = "nothing listens on the socket"
		p.Fix = "see whether the engine runs"
	default:
		return false
	}
	return true
}

// oneLine bounds what is repeated of an answer that could be a whole page.
func oneLine(err error) string {
	const limit = 200
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

// Trouble says, for people, why a call to an engine failed, and what to do.
func Trouble(e Engine, err error) label.Problem { return engineTrouble(hostOf(e), err) }

// hostOf says for people where an engine is.
func hostOf(e Engine) string {
	if d, ok := e.(interface{ DaemonHost() string }); ok {
		return d.DaemonHost()
	}
	return "at an unknown address"
}

// oldestAPI is that of engine 20.10, the oldest that Portway is tested with.
const oldestAPI = "1.41"

// tooOld says what is wrong with an engine by the version of its API, which may be empty;
// zero if nothing is.
func tooOld(host, api string) label.Problem {
	if api == "" || !versions.LessThan(api, oldestAPI) {
		return label.Problem{}
	}
	return label.Problem{
		Source: "Docker engine " + host, Why: "speaks API " + api + ", which is older than what Portway is tested with (" + oldestAPI + ", engine 20.10)",
		Fix: "update the engine",
	}
}

// TooOld is what is wrong with an engine that says it speaks a version of the API; ok is false
// if nothing is.
func TooOld(e Engine, api string) (p label.Problem, ok bool) {
	p = tooOld(hostOf(e), api)
	return p, p != (label.Problem{})
}
