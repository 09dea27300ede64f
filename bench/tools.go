package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// nssWrapper lets wrk resolve the bench's host name without touching /etc/hosts
// (wrk sends the name in its URL as SNI).
const nssWrapper = "libnss_wrapper.so"

// wrk loads with HTTP/1.1 over keep-alive connections.
func wrk(path, script string, connections int) func(context.Context, *environment, *peer, time.Duration, func()) (load, error) {
	return func(ctx context.Context, env *environment, p *peer, d time.Duration, _ func()) (load, error) {
		seconds := max(int(d.Round(time.Second).Seconds()), 1)
		args := []string{"-t2", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", seconds), "--latency"}
		if script != "" {
			args = append(args, "-s", filepath.Join(env.work, script))
		}
		args = append(args, "https://"+host+":"+port(p.addr)+path)
		cmd := exec.CommandContext(ctx, "wrk", args...)
		cmd.Env = append(os.Environ(), "OPENSSL_CONF="+env.openssl, "LD_PRELOAD="+nssWrapper, "NSS_WRAPPER_HOSTS="+filepath.Join(env.work, "hosts"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return load{}, fmt.Errorf("wrk: %w: %s", err, out)
		}
		return parseWrk(string(out), path)
	}
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in ([\d.]+)(\w+),`)
	wrkP99      = regexp.MustCompile(`99%\s+([\d.]+)(us|ms|s)`)
	wrkErrors   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkSocket   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

func parseWrk(out, path string) (load, error) {
	m := wrkRequests.FindStringSubmatch(out)
	if m == nil {
		return load{}, fmt.Errorf("wrk printed something else: %s", out)
	}
	if bad := wrkErrors.FindString(out); bad != "" {
		return load{}, errors.New(bad)
	}
	if bad := wrkSocket.FindStringSubmatch(out); bad != nil && (bad[1] != "0" || bad[3] != "0") {
		return load{}, errors.New(bad[0])
	}
	var l load
	l.requests, _ = strconv.ParseInt(m[1], 10, 64) // digits by the pattern
	l.elapsed, _ = time.ParseDuration(m[2] + m[3])
	if q := wrkP99.FindStringSubmatch(out); q != nil {
		l.p99, _ = time.ParseDuration(q[1] + q[2])
	}
	if path == "/10m" {
		l.bytes = l.requests * bigBody
	}
	return l, nil
}

// h2load loads with HTTP/2.
func h2load(path string, streams int, more ...string) func(context.Context, *environment, *peer, time.Duration, func()) (load, error) {
	return func(ctx context.Context, env *environment, p *peer, d time.Duration, _ func()) (load, error) {
		log := filepath.Join(env.work, "h2load.log")
		_ = os.Remove(log)
		args := []string{
			"-t2", "-c8", fmt.Sprintf("-m%d", streams), "-D", strconv.Itoa(max(int(d.Round(time.Second).Seconds()), 1)),
			"--connect-to=" + p.addr, "--log-file=" + log,
		}
		for _, m := range more {
			args = append(args, strings.ReplaceAll(m, "{work}", env.work))
		}
		args = append(args, "https://"+host+":"+port(p.addr)+path)
		cmd := exec.CommandContext(ctx, "h2load", args...)
		cmd.Env = append(os.Environ(), "OPENSSL_CONF="+env.openssl)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return load{}, fmt.Errorf("h2load: %w: %s", err, out)
		}
		l, err := parseH2load(string(out))
		if err != nil {
			return load{}, err
		}
		l.p99, err = percentile99(log)
		return l, err
	}
}

var (
	h2Requests = regexp.MustCompile(`requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	h2Elapsed  = regexp.MustCompile(`finished in ([\d.]+)(us|ms|s),`)
)

func parseH2load(out string) (load, error) {
	m := h2Requests.FindStringSubmatch(out)
	e := h2Elapsed.FindStringSubmatch(out)
	if m == nil || e == nil {
		return load{}, fmt.Errorf("h2load printed something else: %s", out)
	}
	done, _ := strconv.ParseInt(m[1], 10, 64) // digits by the pattern
	ok, _ := strconv.ParseInt(m[2], 10, 64)
	if ok == 0 || ok < done {
		return load{}, errors.New(m[0])
	}
	elapsed, _ := time.ParseDuration(e[1] + e[2])
	return load{requests: ok, elapsed: elapsed}, nil
}
