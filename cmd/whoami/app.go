package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// app answers requests; stop is closed when long answers should end.
type app struct {
	name   string
	listen string
	stop   <-chan struct{}
}

func newApp(name, listen string, stop <-chan struct{}) http.Handler {
	a := &app{name: name, listen: listen, stop: stop}
	mux := http.NewServeMux()
	mux.HandleFunc("/", a.facts)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("POST /grpc.health.v1.Health/Check", grpcHealth)
	mux.HandleFunc("GET /ws", a.echo)
	mux.HandleFunc("GET /events", a.events)
	mux.HandleFunc("/upload", a.upload)
	mux.HandleFunc("GET /download", a.download)
	mux.HandleFunc("GET /slow", a.slow)
	return mux
}

// logged writes a line for each request, but for health checks.
func logged(h http.Handler, w io.Writer) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" && !strings.HasPrefix(r.URL.Path, "/grpc.health.v1.") {
			fmt.Fprintln(w, r.Method, strconv.Quote(r.RequestURI))
		}
		h.ServeHTTP(rw, r)
	})
}

// knowing says of each domain whether it is a customer's, as portway.tls.on-demand.ask
// has it asked.
func knowing(h http.Handler, customers []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		domain := r.URL.Query().Get("domain")
		switch {
		case r.URL.Path != "/serves":
			h.ServeHTTP(w, r)
		case domain != "" && slices.Contains(customers, domain):
			fmt.Fprintln(w, "yes")
		default:
			http.Error(w, "no customer has this domain", http.StatusNotFound)
		}
	})
}

// grpcHealth is the gRPC health protocol's answer that it serves, whatever service is
// asked about. It is always the same, so there is no need for a gRPC library.
func grpcHealth(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the answer is the same
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write([]byte{0, 0, 0, 0, 2, 1 << 3, 1}) // not compressed, 2 bytes: field 1 is SERVING
	w.Header().Set("Grpc-Status", "0")
}

// echo sends every WebSocket message back.
func (a *app) echo(w http.ResponseWriter, r *http.Request) {
	// Any page may connect: there is nothing here to protect.
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(16 << 20)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-a.stop:
			_ = c.Close(websocket.StatusGoingAway, "shutting down")
		case <-ctx.Done():
		}
	}()
	for {
		kind, message, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, kind, message); err != nil {
			return
		}
	}
}

// events sends server-sent events: ?n= of them (0: without end), one ?every=.
func (a *app) events(w http.ResponseWriter, r *http.Request) {
	n, err := number(r, "n", 0)
	every, err2 := duration(r, "every", time.Second)
	if err = errors.Join(err, err2); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 1; ; i++ {
		fmt.Fprintf(w, "id: %d\ndata: %s from %s\n\n", i, time.Now().UTC().Format(time.RFC3339), a.name)
		if out.Flush() != nil || i == n {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-a.stop:
			return
		}
	}
}

// upload counts what it is sent, in constant memory.
func (a *app) upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, "the upload broke off: "+err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "{\"bytes\": %d, \"sha256\": %q}\n", n, hex.EncodeToString(sum.Sum(nil)))
}

// download sends ?size= bytes (1 MiB by default; suffixes KiB, MiB, GiB).
func (a *app) download(w http.ResponseWriter, r *http.Request) {
	size, err := parseSize(r.URL.Query().Get("size"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	_, _ = io.CopyN(w, pattern{}, size) // the client has gone: nobody is left to be told
}

// slow answers after ?delay= (3 s by default).
func (a *app) slow(w http.ResponseWriter, r *http.Request) {
	delay, err := duration(r, "delay", 3*time.Second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(delay):
		fmt.Fprintf(w, "answered after %s\n", delay)
	case <-r.Context().Done():
	}
}

// pattern is an endless text.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	const text = "0123456789abcdefghijklmnopqrstuvwxyz\n"
	for i := 0; i < len(p); i += len(text) {
		copy(p[i:], text)
	}
	// A whole number of texts, so that the next Read goes on with its start.
	if n := len(p) / len(text) * len(text); n > 0 {
		return n, nil
	}
	return len(p), nil
}

func parseSize(s string) (int64, error) {
	if s == "" {
		return 1 << 20, nil
	}
	digits := strings.TrimRight(s, "KMGiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift, known := map[string]int{"": 0, "KiB": 10, "MiB": 20, "GiB": 30}[s[len(digits):]]
	if err != nil || !known || n < 0 || n > 1<<40>>shift {
		return 0, fmt.Errorf("size: %q is not a number of bytes such as 512, 64KiB or 10MiB, up to 1024GiB", s)
	}
	return n << shift, nil
}

func number(r *http.Request, key string, def int) (int, error) {
	s := r.URL.Query().Get(key)
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: %q is not a number", key, s)
	}
	return n, nil
}

func duration(r *http.Request, key string, def time.Duration) (time.Duration, error) {
	s := r.URL.Query().Get(key)
	if s == "" {
		return def, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: %q is not a time such as 500ms or 3s", key, s)
	}
	return d, nil
}
