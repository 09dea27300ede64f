// Command whoami is a small web app to put behind Portway: it shows what
// reached it, and does what proxies get wrong: WebSocket, server-sent events,
// uploads, large and slow answers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	listen := flag.String("listen", ":8080", "addresses to serve at, separated by commas")
	name := flag.String("name", "", "name to show instead of the host's")
	log := flag.Bool("log", false, "write a line for each request")
	customers := flag.String("customers", "", "domains, separated by commas, for which /serves?domain=DOMAIN answers 200")
	check := flag.Bool("check", false, "ask the whoami that runs here whether it is well, then exit (for HEALTHCHECK)")
	flag.Parse()
	if err := run(strings.Split(*listen, ","), *name, strings.Split(*customers, ","), *log, *check); err != nil {
		fmt.Fprintln(os.Stderr, "whoami:", err)
		os.Exit(1)
	}
}

func run(listen []string, name string, customers []string, log, check bool) error {
	if check {
		return health(listen[0])
	}
	if name == "" {
		name, _ = os.Hostname() // without a name, none is shown
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	for _, address := range listen {
		app := knowing(newApp(name, address, ctx.Done()), customers)
		if log {
			app = logged(app, os.Stdout)
		}
		g.Go(func() error { return serve(ctx, address, app) })
	}
	return g.Wait()
}

// serve answers at address until ctx is done, and finishes what it began.
func serve(ctx context.Context, address string, h http.Handler) error {
	server := &http.Server{Addr: address, Handler: h, ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // portway.scheme: h2c
	done := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.Background(), 8*time.Second) // docker stop kills after 10
		defer cancel()
		done <- server.Shutdown(limit)
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

func health(listen string) error {
	client := &http.Client{Timeout: 3 * time.Second}
	resp, err := client.Get("http://" + local(listen) + "/health")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// local completes a listen address without a host.
func local(listen string) string {
	if strings.HasPrefix(listen, ":") {
		return "127.0.0.1" + listen
	}
	return listen
}
