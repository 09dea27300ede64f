package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"time"
)

// hits is a load that the peer's cache answers: all of it, or it fails.
func hits(name string, run func(context.Context, *environment, *peer, time.Duration, func()) (load, error)) func(context.Context, *environment, *peer, time.Duration, func()) (load, error) {
	return func(ctx context.Context, env *environment, p *peer, d time.Duration, held func()) (load, error) {
		if err := warm(p.addr, cachePath+name); err != nil {
			return load{}, fmt.Errorf("fill the cache: %w", err)
		}
		before := env.origin.cacheable.Load()
		l, err := run(ctx, env, p, d, held)
		if n := env.origin.cacheable.Load() - before; err == nil && n > 0 {
			err = fmt.Errorf("the origin got %d of %d requests", n, l.requests)
		}
		return l, err
	}
}

// warm asks for path with each way in which the load's clients say what they take, until
// it is kept.
func warm(addr, path string) error {
	c, err := tls.Dial("tcp", addr, clientTLS("http/1.1"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for _, fields := range []string{"", "Accept-Encoding: gzip, deflate\r\n"} { // wrk and h2load
		for range 2 { // some caches keep only what is asked for again
			if err := roundTrip(c, r, "GET "+path+" HTTP/1.1\r\nHost: "+host+":"+port(addr)+"\r\n"+fields+"\r\n"); err != nil {
				return err
			}
		}
	}
	return nil
}
