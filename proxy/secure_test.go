package proxy

import (
	"io"
	"net/http"
	"testing"

	"portway/route"
)

// What is served aside over HTTPS is so for any host and by any protocol, ahead of routes,
// and over plain HTTP not at all: there the site has the path.
func TestSecureAside(t *testing.T) {
	t.Parallel()
	const path = "/.well-known/portway/purge"
	origin := originAt(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "site") })
	i := serve(t, []*route.Route{at("a.test", origin)}, withConfig(func(cfg *Config) {
		cfg.Secure = map[string]http.Handler{path: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "aside")
		})}
	}))
	for name, c := range map[string]*http.Client{"HTTP/1.1": i.client(t, onlyHTTP1), "HTTP/2": i.client(t)} {
		for _, host := range []string{"a.test", "b.test"} {
			if _, content := get(t, c, "https://"+host+path); content != "aside" {
				t.Errorf("%s, %s: %q", name, host, content)
			}
		}
		if _, content := get(t, c, "https://a.test"+path+"/x"); content == "aside" {
			t.Errorf("%s: what is below it is aside, too", name)
		}
	}
	if _, content := get(t, i.client(t), "http://a.test"+path); content == "aside" {
		t.Error("it is served over plain HTTP")
	}
	if _, content := get(t, i.client(t), "http://a.test"+path, "X-Forwarded-Proto: https"); content == "aside" {
		t.Error("anybody can say that he came by HTTPS")
	}
}
