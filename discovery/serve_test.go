package discovery

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/events"
)

// serve puts the engine behind a unix socket, with the answers of the real
// one's API, and returns a client as production has it.
func (f *fakeEngine) serve(tb testing.TB) Engine {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	s := httptest.NewUnstartedServer(f)
	s.Listener = l
	s.Start()
	tb.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	e, err := Dial(Endpoint{Host: "unix://" + path})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/v1.41/"); ok {
		path = "/" + rest
	} else if path != "/_ping" {
		http.Error(w, `{"message":"client version is too new"}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	id, isInspect := strings.CutPrefix(path, "/containers/")
	id, isInspect = strings.TrimSuffix(id, "/json"), isInspect && strings.HasSuffix(id, "/json")
	call := strings.TrimLeft(path, "/_")
	switch {
	case path == "/containers/json":
		call = "list"
	case isInspect:
		call = "inspect"
	}
	if err := f.called(r.Context(), call, id); err != nil {
		http.Error(w, `{"message":"`+err.Error()+`"}`, http.StatusInternalServerError)
		return
	}
	switch call {
	case "ping":
	case "info":
		_, _ = w.Write(f.info)
	case "list":
		_, _ = w.Write(f.list())
	case "events":
		f.stream(w, r)
	case "inspect":
		f.mu.Lock()
		text, ok := f.containers[id]
		f.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			text = json.RawMessage(`{"message":"No such container: ` + id + `"}`)
		}
		_, _ = w.Write(text)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

func (f *fakeEngine) stream(w http.ResponseWriter, r *http.Request) {
	in, lost := make(chan events.Message, 10_000), make(chan error, 1)
	f.mu.Lock()
	f.subs[in] = lost
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.subs, in)
		f.mu.Unlock()
	}()
	flusher := http.NewResponseController(w)
	_ = flusher.Flush()
	encoder := json.NewEncoder(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case err := <-lost:
			_ = err // this engine just ends the stream
			return
		case m := <-in:
			if encoder.Encode(m) != nil || flusher.Flush() != nil {
				return
			}
		}
	}
}

// garbageHandler is a web server that is no Docker engine.
type garbageHandler struct{}

func (garbageHandler) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("<html><title>Welcome to nginx!</title></html>"))
}
