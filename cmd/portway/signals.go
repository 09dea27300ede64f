package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that the first SIGTERM or SIGINT cancels; the
// second one ends the process at once. Each SIGHUP calls reload.
func untilSignal(parent context.Context, logger *slog.Logger, reload func()) context.Context {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
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
					reload()
				case ctx.Err() == nil:
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
