package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/observe"
	"portway/route"
)

// watcher notes what it is told.
type watcher struct {
	mu         sync.Mutex
	began      int
	ended      chan string
	handshakes chan string
}

func newWatcher() *watcher {
	return &watcher{ended: make(chan string, 100), handshakes: make(chan string, 100)}
}

var (
	_ observe.Observer    = (*watcher)(nil)
	_ observe.Connections = (*watcher)(nil)
)

func (w *watcher) Begin(ex *exchange.Exchange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began++
	ex.Request.Fields.AddString("X-Watched", "yes")
}

func (w *watcher) End(e observe.Event) {
	ex := e.Exchange
	timed := e.Duration > 0 && (ex.Upstream == "" || ex.UpstreamTime > 0 && ex.UpstreamTime <= e.Duration)
	w.ended <- fmt.Sprintf("%s %s %d %d %s %s broken=%v timed=%v", ex.Conn.Protocol, ex.Request.Path, ex.Response.Status, e.Sent, ex.RouteName, ex.Upstream, e.Err != nil, timed)
}

func (w *watcher) Handshake(state *tls.ConnectionState, took time.Duration, err error) {
	if err != nil {
		w.handshakes <- "failed"
		return
	}
	w.handshakes <- fmt.Sprintf("%s %v %v", tls.VersionName(state.Version), state.DidResume, took > 0)
}

// Observers are told of each request once, over every protocol, whoever answers it and
// however it ends.
func TestObserver(t *testing.T) {
	t.Parallel()
	origin := originAt(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "0123456789")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, r.Header.Get("X-Watched"))
		}
	})
	w := newWatcher()
	up := at("app.test", origin)
	up.Name, up.Upstreams[0].Name = "app/web", "web-1"
	dead := at("dead.test", deadAddress(t))
	dead.Name, dead.Upstreams[0].Name = "dead", "dead-1"
	i := serve(t, []*route.Route{up, dead}, withConfig(func(cfg *Config) { cfg.Observer = w }))
	for _, tc := range []struct{ url, want string }{
		{"https://app.test/a", "/a 200 3 app/web web-1 broken=false timed=true"},
		{"https://app.test/broken", "/broken 200 10 app/web web-1 broken=true timed=true"},
		{"https://dead.test/", "/ 502 * dead dead-1 broken=false timed=true"},
		{"https://none.test/", "/ 404 *   broken=false timed=true"},
	} {
		for protocol, option := range map[string]func(*http.Protocols){"HTTP/1.1": onlyHTTP1, "HTTP/2.0": func(*http.Protocols) {}} {
			resp, err := i.client(t, option).Get(tc.url)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			got := <-w.ended
			parts := strings.Fields(got)
			want := strings.Replace(protocol+" "+tc.want, "*", parts[3], 1)
			if got != want {
				t.Errorf("%s: observed %q, want %q", tc.url, got, want)
			}
		}
	}
	if len(w.ended) > 0 || w.began != 8 {
		t.Errorf("%d began, %d more ended", w.began, len(w.ended))
	}
	if first := <-w.handshakes; first != "TLS 1.3 false true" {
		t.Errorf("a handshake is observed as %q", first)
	}
	c := i.dialAt(t, i.https)
	_ = c.Close()
	for h := range w.handshakes {
		if h == "failed" {
			break
		}
	}
}
