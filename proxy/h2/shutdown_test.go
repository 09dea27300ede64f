package h2

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"portway/proxy/exchange"
)

// TestShutdown drains a connection with a request on it, and takes one that was
// on its way.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			time.Sleep(10 * time.Second)
			hello(ex)
		})}
		nc, done := piped(s)
		c := greetAs(t, nc)
		c.headers(1, true, c.get())
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(context.Background()) }()
		c.want("goaway 2147483647 NO_ERROR")
		c.headers(3, true, c.get()) // sent before the client saw that
		c.want("ping")
		c.must(c.fr.WritePing(true, [8]byte([]byte(pingDrain))))
		c.want("goaway 3 NO_ERROR")
		c.headers(5, true, c.get()) // too late, and safe to try elsewhere
		for c.next() != "closed" {
		}
		if !contains(c.seen, "data 1 5 end") || !contains(c.seen, "data 3 5 end") || contains(c.seen, "head 5") {
			t.Errorf("not exactly the first two requests were served: %q", c.seen)
		}
		hangUp(nc, done)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		late, gone := piped(s)
		hangUp(late, gone)
	})
}

// TestShutdownWithoutPing drains clients that do not answer pings.
func TestShutdownWithoutPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: hello}
		nc, done := piped(s)
		c := greetAs(t, nc)
		start := time.Now()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		within(t, start, time.Second)
		c.want("goaway 0 NO_ERROR")
		<-done
		hangUp(nc, done)
	})
}

// TestShutdownTimeout cuts off what does not end.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var cause error
		s := &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			<-ex.Context().Done()
			cause = ex.Canceled()
		})}
		nc, done := piped(s)
		c := greetAs(t, nc)
		c.headers(1, true, c.get())
		enough := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(context.Background(), 5*time.Second, enough)
		defer cancel()
		start := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, enough) {
			t.Errorf("Shutdown = %v", err)
		}
		within(t, start, 5*time.Second)
		hangUp(nc, done)
		if !errors.Is(cause, exchange.ErrClientGone) {
			t.Errorf("cancelled because of %v", cause)
		}
	})
}

func TestShutdownOfNothing(t *testing.T) {
	t.Parallel()
	s := &Server{Handler: hello}
	for range 2 {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
