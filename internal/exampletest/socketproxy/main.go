// Command socketproxy stands in for a read-only Docker socket proxy in the test
// of compose-examples/socket-proxy: it lets through what Portway is documented
// to need and answers 403 to everything else.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"time"
)

// allowed is what the example's README says: reading, and nothing more.
var allowed = regexp.MustCompile(`^(/v1\.\d+)?/(_ping|info|events|containers/json|containers/[0-9A-Za-z_.-]+/json)$`)

func main() {
	engine := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	engine.FlushInterval = -1 // events as they come
	engine.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", "/var/run/docker.sock")
	}}
	server := &http.Server{Addr: ":2375", ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (r.Method != http.MethodGet && r.Method != http.MethodHead) || !allowed.MatchString(r.URL.Path) {
			fmt.Fprintln(os.Stderr, "REFUSED", r.Method, r.URL.Path)
			http.Error(w, `{"message":"refused by the socket proxy"}`, http.StatusForbidden)
			return
		}
		engine.ServeHTTP(w, r)
	})}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
