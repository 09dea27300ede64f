// Command origin is a web server for tests. It listens on :80, or on the
// address in its first argument, and answers every request with the name of its
// host. PUT /healthy and PUT /unhealthy choose what the check "origin health"
// says in the same container. GET /proc/self/mountinfo and /proc/self/cgroup
// tell where it is. LINGER in the environment is how long it goes on after
// SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sick exists while the health check shall fail.
const sick = "/unhealthy"

func main() {
	addr := ":80"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	if addr == "health" {
		if _, err := os.Stat(sick); err == nil {
			os.Exit(1)
		}
		return
	}
	if err := serve(addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP)
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, name) })
	for _, file := range []string{"/proc/self/mountinfo", "/proc/self/cgroup"} {
		mux.HandleFunc("GET "+file, func(w http.ResponseWriter, _ *http.Request) {
			text, err := os.ReadFile(file)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			_, _ = w.Write(text)
		})
	}
	mux.HandleFunc("PUT /unhealthy", func(w http.ResponseWriter, _ *http.Request) {
		if err := os.WriteFile(sick, nil, 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("PUT /healthy", func(w http.ResponseWriter, _ *http.Request) {
		if err := os.Remove(sick); err != nil && !errors.Is(err, os.ErrNotExist) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	server := &http.Server{Addr: addr, Handler: mux}
	done := make(chan error, 1)
	go func() { done <- server.ListenAndServe() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		linger, _ := time.ParseDuration(os.Getenv("LINGER"))
		time.Sleep(linger)
		return server.Shutdown(context.WithoutCancel(ctx))
	}
}
