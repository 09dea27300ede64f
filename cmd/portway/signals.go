package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// handlers are what signals do, besides ending the process.
type handlers struct {
	reload   func()                         // SIGHUP
	reopen   func()                         // SIGUSR1
	handOver func(ctx context.Context) bool // SIGUSR2; true: a successor serves, the process may end
	stopping func()                         // the first SIGTERM or SIGINT
}

// untilSignal returns a context that the first SIGTERM or SIGINT cancels; the
// second one ends the process at once. So does a successful hand-over.
func untilSignal(parent context.Context, logger *slog.Logger, h handlers) context.Context {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		defer cancel()
		defer signal.Stop(signals)
		for {
			select {
			case <-parent.Done():
				return
			case s := <-signals:
				switch {
				case s == syscall.SIGHUP:
					h.reload()
				case s == syscall.SIGUSR1:
					h.reopen()
				case s == syscall.SIGUSR2:
					go func() {
						if h.handOver(ctx) {
							cancel()
						}
					}()
				case ctx.Err() == nil:
					h.stopping()
					logger.Info("stopping: finishing requests in flight; a second signal ends at once", "signal", s.String())
					cancel()
				default:
					logger.Warn("stopped at once by a second signal", "signal", s.String())
					os.Exit(1)
				}
			}
		}
	}()
	return ctx
}
