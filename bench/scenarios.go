package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// load is what one run of a client achieved.
type load struct {
	requests int64
	bytes    int64         // content moved, for scenarios of large bodies
	elapsed  time.Duration // as the client measured it
	p99      time.Duration // 0: not known
	held     int64         // connections held open, for memory per connection
	multiple float64       // what a request cost in multiples of a bare one's CPU time
}

// measurement is a load and what it cost the peer.
type measurement struct {
	load
	cpu   time.Duration
	grown int64 // bytes of resident memory gained while connections were held
}

// scenario is one kind of load.
type scenario struct {
	name string
	doc  string
	unit unit
	rate string // what is told per CPU second too; empty: nothing
	bulk bool   // large bodies: measured for peers with large buffers too
	h3   bool
	full bool // also measured with 1,000 routes and eight middleware
	only bool // and only there
	// watched is measured with metrics, access log and traces, beside Portway without.
	watched bool
	busy    bool // what memory is measured by, if it is the first
	// cache says that peers answer from their caches; those that have none are left out.
	cache bool
	// fresh restarts the peer before each run: memory of earlier loads would hide what is gained.
	fresh bool
	// run puts load on the peer for about d. held is called while idle connections are open.
	run runner
}

type runner func(ctx context.Context, env *environment, p *peer, d time.Duration, held func()) (load, error)

// unit is what a scenario's figure means.
type unit uint8

const (
	perRequest    unit = iota // µs of CPU per request
	perGB                     // ms of CPU per GB moved
	perConnection             // bytes of memory per idle connection
	perBare                   // CPU time through middleware in multiples of that through none
)

var units = [...]string{perRequest: "µs CPU per request", perGB: "ms CPU per GB", perConnection: "KiB per connection", perBare: "times the CPU of none"}

// figure is the scenario's figure of merit: less is better.
func (s scenario) figure(m measurement) float64 {
	switch s.unit {
	case perGB:
		return float64(m.cpu.Milliseconds()) / (float64(m.bytes) / 1e9)
	case perConnection:
		return float64(m.grown) / float64(m.held) / 1024
	case perBare:
		return m.multiple
	default:
		return float64(m.cpu.Nanoseconds()) / 1e3 / float64(m.requests)
	}
}

func (s scenario) show(m measurement) string {
	return fmt.Sprintf("%*.*f %s, %d requests in %v, p99 %v", 7+s.digits(), s.digits(), s.figure(m), units[s.unit], m.requests, m.elapsed.Round(time.Millisecond), m.p99)
}

// digits is how many of the figure matter behind the point.
func (s scenario) digits() int {
	if s.unit == perBare {
		return 2
	}
	return 1
}

func (s scenario) supports(p *peer) bool {
	return (!s.h3 || p.http3) && (!p.bulk || s.bulk) && (!p.full || s.full) && (!s.only || p.full) && p.watched == s.watched && (!s.watched || p.bare != nil) && (!s.cache || p.cache)
}

func workers() int { return runtime.NumCPU() }

var scenarios = []scenario{
	{name: "h1-get", doc: "HTTP/1.1 GET, 1 KiB, 64 keep-alive connections", full: true, busy: true, run: wrk("/1k", "", 64)},
	{name: "h1-post", doc: "HTTP/1.1 POST, 1 KiB with Content-Length", run: wrk("/1k", "post1k.lua", 64)},
	{name: "h1-chunked", doc: "HTTP/1.1 GET, chunked answer of 4 x 256 bytes", run: wrk("/chunked", "", 64)},
	{name: "h2-get", doc: "HTTP/2 GET, 1 KiB, 8 connections x 16 streams", full: true, run: h2load("/1k", 16)},
	{name: "h2-post", doc: "HTTP/2 POST, 1 KiB, 8 connections x 16 streams", run: h2load("/1k", 16, "-d", "{work}/1k")},
	{
		name: "grpc", doc: "gRPC unary (grpc.testing.TestService/EmptyCall), 8 connections x 16 streams",
		run: h2load("/grpc.testing.TestService/EmptyCall", 16, "-d", "{work}/grpc", "-H", "content-type: application/grpc", "-H", "te: trailers"),
	},
	{name: "hit-1k", doc: "HTTP/1.1 GET, 1 KiB from the cache, 64 keep-alive connections", cache: true, run: hits("1k", wrk(cachePath+"1k", "", 64))},
	{name: "hit-64k", doc: "HTTP/1.1 GET, 64 KiB from the cache, 64 keep-alive connections", cache: true, run: hits("64k", wrk(cachePath+"64k", "", 64))},
	{name: "hit-h2-1k", doc: "HTTP/2 GET, 1 KiB from the cache, 8 connections x 16 streams", cache: true, run: hits("1k", h2load(cachePath+"1k", 16))},
	{name: "download", doc: "10 MiB download over HTTP/1.1, 8 connections", unit: perGB, bulk: true, run: wrk("/10m", "", 8)},
	{name: "upload", doc: "10 MiB upload over HTTP/1.1, 8 connections", unit: perGB, bulk: true, run: uploads},
	{name: "websocket", doc: "WebSocket echo of 64 bytes over HTTP/1.1, 64 connections", run: webSockets},
	{name: "handshake", doc: "new connection without resumption, one GET each", rate: "full handshakes", run: handshakes(false)},
	{name: "resumption", doc: "new connection with resumption, one GET each", rate: "resumed handshakes", run: handshakes(true)},
	{name: "idle", doc: "1,000 idle TLS connections that made one request each", unit: perConnection, fresh: true, run: idleConnections},
	{
		name: "h1-chain", doc: "HTTP/1.1 GET through eight middleware against none, in the same process, in turns of 100 ms, 64 connections",
		unit: perBare, full: true, only: true, run: throughChain(askers1),
	},
	{
		name: "h2-chain", doc: "HTTP/2 GET through eight middleware against none, in the same process, in turns of 100 ms, 8 connections x 16 streams",
		unit: perBare, full: true, only: true, run: throughChain(askers2),
	},
	{
		name: "h1-full", doc: "HTTP/1.1 GET, 1,000 routes and eight middleware against one route and none, in turns of 100 ms, 64 connections",
		unit: perBare, full: true, only: true, run: besideBare(askers1),
	},
	{
		name: "h2-full", doc: "HTTP/2 GET, 1,000 routes and eight middleware against one route and none, in turns of 100 ms, 8 connections x 16 streams",
		unit: perBare, full: true, only: true, run: besideBare(askers2),
	},
	{
		name: "h1-watched", doc: "HTTP/1.1 GET with metrics, an access log in a file and 1 % of the requests traced, against none of them, in turns of 100 ms, 64 connections",
		unit: perBare, watched: true, run: besideBare(askers1),
	},
	{
		name: "h2-watched", doc: "HTTP/2 GET with metrics, an access log in a file and 1 % of the requests traced, against none of them, in turns of 100 ms, 8 connections x 16 streams",
		unit: perBare, watched: true, run: besideBare(askers2),
	},
	{name: "h3-get", doc: "HTTP/3 GET, 1 KiB, 8 connections x 16 streams", h3: true, run: http3Gets},
}

func chooseScenarios(list string) ([]scenario, error) {
	if list == "" {
		return scenarios, nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q", name)
		}
		chosen = append(chosen, scenarios[i])
	}
	return chosen, nil
}

// errNothing is what a measurement ends with that was too short for its machine.
var errNothing = errors.New("no request succeeded")

// measureAny is measure, with more and more time until a request succeeds.
func measureAny(ctx context.Context, env *environment, s scenario, p *peer, d time.Duration) (m measurement, err error) {
	for range 4 {
		if m, err = measure(ctx, env, s, p, d); !errors.Is(err, errNothing) {
			break
		}
		d *= 4
	}
	return m, err
}

// measure runs the scenario once and reads what it cost.
func measure(ctx context.Context, env *environment, s scenario, p *peer, d time.Duration) (m measurement, err error) {
	if s.fresh {
		p.notePeak()
		if err := p.restart(ctx); err != nil {
			return measurement{}, fmt.Errorf("restart: %w", err)
		}
		time.Sleep(d) // what a peer needed only to start is no part of what connections cost
		// The peak is that of the loads, not that of 1,000 connections.
		defer func() { err = errors.Join(err, p.restart(ctx)) }()
	}
	pid := p.cmd.Process.Pid
	rss := memory(pid, "VmRSS")
	before, err := cpuTime(pid)
	if err != nil {
		return m, fmt.Errorf("the peer is gone: %w", err)
	}
	m.load, err = s.run(ctx, env, p, d, func() { m.grown = memory(pid, "VmRSS") - rss })
	if err != nil {
		return m, err
	}
	after, err := cpuTime(pid)
	if err != nil {
		return m, fmt.Errorf("the peer ended: %w", err)
	}
	m.cpu = after - before
	if m.requests == 0 {
		return m, errNothing
	}
	return m, nil
}

// payloads writes the files that h2load and wrk send.
func payloads(env *environment) error {
	for name, content := range map[string][]byte{
		"1k":         body1k,
		"grpc":       make([]byte, 5), // an empty message: not compressed, length 0
		"post1k.lua": []byte("wrk.method = \"POST\"\nwrk.body = string.rep(\"0123456789abcdef\", 64)\n"),
		"hosts":      []byte("127.0.0.1 " + host + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(env.work, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
