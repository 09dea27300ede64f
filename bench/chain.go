package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// bareHost is a site of portway-full without middleware.
const bareHost = "site500.localhost"

// asker asks for a small page of a site.
type asker func(site string) error

// opener opens connections to a peer. Each asker is one client.
type opener func(p *peer) (askers []asker, end func(), err error)

const (
	turn      = 100 * time.Millisecond
	warmUp    = 300 * time.Millisecond // new connections cost more
	shortTurn = 20 * time.Millisecond  // where nothing is measured
)

// side is one of two things that are compared.
type side struct {
	peer   *peer
	site   string
	askers []asker
}

// throughChain measures the CPU time of requests through middleware in multiples of
// that of requests through none, for another site of the same process over the same
// connections. They come in turns that are too short for the machine to change in
// between, so that what they cost differs by the middleware alone.
func throughChain(open opener) runner {
	return func(ctx context.Context, _ *environment, p *peer, d time.Duration, _ func()) (load, error) {
		askers, end, err := open(p)
		if err != nil {
			return load{}, err
		}
		defer end()
		if err := poll(ctx, func() error { return askers[0](bareHost) }); err != nil { // until it has a certificate
			return load{}, err
		}
		return multiple(ctx, d, side{p, bareHost, askers}, side{p, host, askers})
	}
}

// besideBare is throughChain with Portway with a single route, in another process, in
// place of the site without middleware: it also shows what 1,000 routes cost.
func besideBare(open opener) runner {
	return func(ctx context.Context, _ *environment, p *peer, d time.Duration, _ func()) (load, error) {
		if p.bare == nil {
			return load{}, errors.New("needs portway among the peers")
		}
		few, endFew, err := open(p.bare)
		if err != nil {
			return load{}, err
		}
		defer endFew()
		many, endMany, err := open(p)
		if err != nil {
			return load{}, err
		}
		defer endMany()
		return multiple(ctx, d, side{p.bare, host, few}, side{p, host, many})
	}
}

// multiple tells how many times the CPU time of a request to base one to other takes.
func multiple(ctx context.Context, d time.Duration, base, other side) (total load, err error) {
	length := turn
	if d < time.Second {
		length = shortTurn
	} else {
		for _, s := range []side{base, other} {
			if _, _, err := s.turn(ctx, warmUp); err != nil {
				return load{}, err
			}
		}
	}
	var ratios []float64
	start := time.Now()
	for i := 0; time.Since(start) < d || i < 2; i++ {
		var cost [2]float64 // of one request
		for j := range cost {
			j = (i + j) % 2 // none is always the first
			requests, cpu, err := [2]side{base, other}[j].turn(ctx, length)
			if err != nil {
				return load{}, err
			}
			total.requests += requests
			cost[j] = float64(cpu) / float64(requests)
		}
		ratios = append(ratios, cost[1]/cost[0])
	}
	total.multiple, total.elapsed = median(ratios), time.Since(start)
	return total, nil
}

// turn has all askers ask for a while, and tells what the peer spent.
func (s side) turn(ctx context.Context, d time.Duration) (requests int64, cpu time.Duration, err error) {
	pid := s.peer.cmd.Process.Pid
	before, err := threadTime(pid)
	if err != nil {
		return 0, 0, err
	}
	var (
		wg     sync.WaitGroup
		count  atomic.Int64
		failed atomic.Pointer[error]
		until  = time.Now().Add(d)
	)
	for _, ask := range s.askers {
		wg.Go(func() {
			for { // once at least, however busy the machine is
				if err := ask(s.site); err != nil {
					failed.Store(&err)
					return
				}
				count.Add(1)
				if time.Now().After(until) || ctx.Err() != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	after, err := threadTime(pid)
	switch e := failed.Load(); {
	case e != nil:
		return 0, 0, *e
	case err != nil:
		return 0, 0, err
	case count.Load() == 0:
		return 0, 0, errors.Join(errors.New("no request in a whole turn"), ctx.Err())
	}
	return count.Load(), after - before, nil
}

// threadTime is the CPU time of a process without children, to the nanosecond. Unlike
// cpuTime it misses what threads spent that have ended; those of Go do not end.
func threadTime(pid int) (total time.Duration, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no CPU time of process %d is to be had: %w", pid, errors.Join(err, os.ErrNotExist))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		first, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// settle waits until a peer has done what it does at its start: with 1,000 sites, it is
// busy with certificates for a while.
func (p *peer) settle(ctx context.Context) error {
	const look, calm = 300 * time.Millisecond, 5 // percent of a processor
	return poll(ctx, func() error {
		before, err := threadTime(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		time.Sleep(look)
		after, err := threadTime(p.cmd.Process.Pid)
		if err == nil && after-before > look*calm/100 {
			err = errors.New("it is still busy with itself")
		}
		return err
	})
}

// askers1 are 64 connections of HTTP/1.1.
func askers1(p *peer) (askers []asker, end func(), err error) {
	var conns []io.Closer
	end = func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	for range 64 {
		c, err := tls.Dial("tcp", p.addr, clientTLS("http/1.1"))
		if err != nil {
			end()
			return nil, nil, err
		}
		conns = append(conns, c)
		r := bufio.NewReaderSize(c, 4<<10)
		askers = append(askers, func(site string) error {
			return roundTrip(c, r, "GET /1k HTTP/1.1\r\nHost: "+site+"\r\nUser-Agent: bench\r\n\r\n")
		})
	}
	return askers, end, nil
}

// askers2 are 8 connections of HTTP/2 with 16 streams each.
func askers2(p *peer) (askers []asker, end func(), err error) {
	transports := make([]*http2.Transport, 8)
	for i := range transports {
		transports[i] = &http2.Transport{TLSClientConfig: clientTLS("h2"), DisableCompression: true}
	}
	end = func() {
		for _, t := range transports {
			t.CloseIdleConnections()
		}
	}
	for i := range 8 * 16 {
		t := transports[i%len(transports)]
		askers = append(askers, func(site string) error {
			req, err := http.NewRequest(http.MethodGet, "https://"+p.addr+"/1k", nil)
			if err != nil {
				return err
			}
			req.Host = site
			resp, err := t.RoundTrip(req)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			n, err := io.Copy(io.Discard, resp.Body)
			if err == nil && (resp.StatusCode != http.StatusOK || n != int64(len(body1k))) {
				err = fmt.Errorf("status %s with %d bytes", resp.Status, n)
			}
			return err
		})
	}
	return askers, end, nil
}
