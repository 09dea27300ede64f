package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go/http3"
)

const get1k = "GET /1k HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench\r\n\r\n"

// getOnce makes one request on a connection of its own.
func getOnce(addr string) error {
	c, err := tls.Dial("tcp", addr, clientTLS("http/1.1"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return roundTrip(c, bufio.NewReader(c), get1k)
}

func roundTrip(c io.Writer, r *bufio.Reader, request string) error {
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return err
}

// sampler collects latencies of concurrent clients.
type sampler struct {
	mu      sync.Mutex
	samples []time.Duration
}

func (s *sampler) add(more []time.Duration) {
	s.mu.Lock()
	s.samples = append(s.samples, more...)
	s.mu.Unlock()
}

func (s *sampler) p99() time.Duration {
	if len(s.samples) == 0 {
		return 0
	}
	slices.Sort(s.samples)
	return s.samples[len(s.samples)*99/100]
}

// clients runs n clients until d has passed; each calls once again and again and
// stops at its first error.
func clients(ctx context.Context, n int, d time.Duration, client func(ctx context.Context) (once func() error, end func(), err error)) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var (
		wg       sync.WaitGroup
		lat      sampler
		requests atomic.Int64
		failed   atomic.Pointer[error]
		start    = time.Now()
	)
	for range n {
		wg.Go(func() {
			once, end, err := client(ctx)
			if err != nil {
				failed.Store(&err)
				return
			}
			defer end()
			var mine []time.Duration
			for ctx.Err() == nil {
				begin := time.Now()
				if err := once(); err != nil {
					if ctx.Err() == nil {
						failed.Store(&err)
					}
					break
				}
				mine = append(mine, time.Since(begin))
			}
			requests.Add(int64(len(mine)))
			lat.add(mine)
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return load{}, *e
	}
	return load{requests: requests.Load(), elapsed: time.Since(start), p99: lat.p99()}, nil
}

func handshakes(resume bool) func(context.Context, *environment, *peer, time.Duration, func()) (load, error) {
	return func(ctx context.Context, _ *environment, p *peer, d time.Duration, _ func()) (load, error) {
		return clients(ctx, 8, d, func(context.Context) (func() error, func(), error) {
			conf := clientTLS("http/1.1")
			if resume {
				conf.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				if err := getWith(p.addr, conf, nil); err != nil {
					return nil, nil, err
				}
			}
			return func() error { return getWith(p.addr, conf, &resume) }, func() {}, nil
		})
	}
}

func getWith(addr string, conf *tls.Config, resumed *bool) error {
	c, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if resumed != nil && c.ConnectionState().DidResume != *resumed {
		return fmt.Errorf("session resumed: %v, wanted %v", !*resumed, *resumed)
	}
	return roundTrip(c, bufio.NewReader(c), get1k)
}

// idleConnections opens 1,000 connections, makes one request on each, and leaves
// them idle until the peer's memory has been read.
func idleConnections(ctx context.Context, _ *environment, p *peer, d time.Duration, held func()) (load, error) {
	n := 1000
	if d < time.Second {
		n = 20 // only proves that it works
	}
	conns := make([]*tls.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	start := time.Now()
	for range n {
		if err := ctx.Err(); err != nil {
			return load{}, err
		}
		c, err := tls.Dial("tcp", p.addr, clientTLS("http/1.1"))
		if err != nil {
			return load{}, err
		}
		conns = append(conns, c)
		if err := roundTrip(c, bufio.NewReaderSize(c, 2048), get1k); err != nil {
			return load{}, err
		}
	}
	time.Sleep(d) // what a peer gives back after a while counts as given back
	held()
	return load{requests: int64(n), held: int64(n), elapsed: time.Since(start)}, nil
}

func uploads(ctx context.Context, _ *environment, p *peer, d time.Duration, _ func()) (load, error) {
	head := fmt.Sprintf("POST /upload HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", host, bigBody)
	l, err := clients(ctx, 8, d, func(context.Context) (func() error, func(), error) {
		c, err := tls.Dial("tcp", p.addr, clientTLS("http/1.1"))
		if err != nil {
			return nil, nil, err
		}
		r := bufio.NewReader(c)
		return func() error {
			if _, err := io.WriteString(c, head); err != nil {
				return err
			}
			for sent := 0; sent < bigBody; sent += len(body64) {
				if _, err := c.Write(body64); err != nil {
					return err
				}
			}
			return roundTrip(io.Discard, r, "")
		}, func() { _ = c.Close() }, nil
	})
	l.bytes = l.requests * bigBody
	return l, err
}

func webSockets(ctx context.Context, _ *environment, p *peer, d time.Duration, _ func()) (load, error) {
	frame := append([]byte{0x82, 0x80 | 64, 1, 2, 3, 4}, body1k[:64]...)
	for i := range 64 {
		frame[6+i] ^= frame[2+i%4]
	}
	return clients(ctx, 64, d, func(context.Context) (func() error, func(), error) {
		c, err := tls.Dial("tcp", p.addr, clientTLS("http/1.1"))
		if err != nil {
			return nil, nil, err
		}
		r := bufio.NewReader(c)
		_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if err != nil {
			return nil, nil, err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, nil, fmt.Errorf("upgrade: status %s", resp.Status)
		}
		echo := make([]byte, 2+64)
		return func() error {
			if _, err := c.Write(frame); err != nil {
				return err
			}
			if _, err := io.ReadFull(r, echo); err != nil {
				return err
			}
			if !bytes.Equal(echo[2:], body1k[:64]) {
				return fmt.Errorf("the echo differs")
			}
			return nil
		}, func() { _ = c.Close() }, nil
	})
}

func http3Gets(ctx context.Context, _ *environment, p *peer, d time.Duration, _ func()) (load, error) {
	var total load
	transports := make([]*http3.Transport, 8)
	for i := range transports {
		transports[i] = &http3.Transport{TLSClientConfig: clientTLS("h3")}
	}
	defer func() {
		for _, t := range transports {
			_ = t.Close()
		}
	}()
	var next atomic.Int64
	total, err := clients(ctx, 8*16, d, func(context.Context) (func() error, func(), error) {
		t := transports[int(next.Add(1))%len(transports)]
		req, err := http.NewRequest(http.MethodGet, "https://"+p.addr+"/1k", nil)
		if err != nil {
			return nil, nil, err
		}
		req.Host = host
		return func() error {
			resp, err := t.RoundTrip(req)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			n, err := io.Copy(io.Discard, resp.Body)
			if err == nil && (resp.StatusCode != http.StatusOK || n != 1024) {
				err = fmt.Errorf("status %s with %d bytes", resp.Status, n)
			}
			return err
		}, func() {}, nil
	})
	return total, err
}

// percentile99 reads h2load's log: start time, status, time in µs, by tab.
func percentile99(file string) (time.Duration, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var s sampler
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) < 3 {
			continue
		}
		if us, err := strconv.ParseInt(string(f[2]), 10, 64); err == nil {
			s.samples = append(s.samples, time.Duration(us)*time.Microsecond)
		}
	}
	return s.p99(), nil
}
