package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// profile is where a peer's CPU time went in one scenario.
type profile struct {
	scenario scenario
	peer     string
	figure   string // of the run that was sampled
	samples  int
	shares   map[string]int // samples by what the CPU was busy with
}

// record runs the scenario while perf takes samples of the peer with its stacks.
func record(ctx context.Context, env *environment, s scenario, p *peer, d time.Duration) (*profile, error) {
	data := filepath.Join(env.work, "perf.data")
	pids := make([]string, 0, 1)
	for _, pid := range family(p.cmd.Process.Pid) {
		pids = append(pids, strconv.Itoa(pid))
	}
	perf := exec.CommandContext(ctx, "perf", "record", "-q", "-F", "499", "-e", "cpu-clock", "-g", "-p", strings.Join(pids, ","), "-o", data)
	if err := perf.Start(); err != nil {
		return nil, fmt.Errorf("perf (apt-get install linux-perf): %w", err)
	}
	m, err := measure(ctx, env, s, p, d)
	_ = perf.Process.Signal(syscall.SIGINT) // it has ended already if it failed, which shows below
	_ = perf.Wait()
	if err != nil {
		return nil, err
	}
	script := exec.CommandContext(ctx, "perf", "script", "-i", data, "-F", "ip,sym,dso")
	out, err := script.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := script.Start(); err != nil {
		return nil, err
	}
	r := &profile{scenario: s, peer: p.name, figure: fmt.Sprintf("%.1f %s", s.figure(m), units[s.unit]), shares: map[string]int{}}
	for stack := range stacks(out) {
		r.samples++
		r.shares[purpose(stack)]++
	}
	if err := script.Wait(); err != nil {
		return nil, fmt.Errorf("perf script: %w", err)
	}
	if r.samples == 0 {
		return nil, fmt.Errorf("perf took no samples")
	}
	return r, nil
}

// frame is one function of a stack.
type frame struct {
	name   string
	kernel bool
}

var frameLine = regexp.MustCompile(`^\s*[0-9a-f]+ (.*) \((.*)\)$`)

// stacks reads what perf script prints: a line for each function, the innermost
// first, and an empty line behind each stack.
func stacks(r io.Reader) func(yield func([]frame) bool) {
	return func(yield func([]frame) bool) {
		lines := bufio.NewScanner(r)
		var stack []frame
		for lines.Scan() {
			if m := frameLine.FindStringSubmatch(lines.Text()); m != nil {
				name, _, _ := strings.Cut(m[1], "+0x")
				stack = append(stack, frame{name, strings.HasPrefix(m[2], "[")})
				continue
			}
			if len(stack) > 0 && !yield(stack) {
				return
			}
			stack = nil
		}
		if len(stack) > 0 {
			yield(stack)
		}
	}
}

// Purposes beside system calls by name.
const (
	forTLS     = "TLS: ciphers and records"
	forRuntime = "Go's runtime: scheduling, network poller, timers"
	forMemory  = "Go's runtime: allocation and collection"
	forOurs    = "the program's own code"
	forOthers  = "libraries"
	forKernel  = "kernel: interrupts and others"
)

var (
	callName = regexp.MustCompile(`^(?:__x64_sys_|__arm64_sys_|__se_sys_|__do_sys_|ksys_|do_sys_)([a-z0-9_]+)$`)
	ofMemory = regexp.MustCompile(`^runtime\.(mallocgc|gc[A-Z]|newobject|makeslice|growslice|bgsweep|bgscavenge|\(\*mheap\)|\(\*mcache\))`)
)

// purpose tells what a CPU was busy with.
func purpose(stack []frame) string {
	if stack[0].kernel {
		for _, f := range stack {
			if m := callName.FindStringSubmatch(f.name); m != nil && f.kernel {
				return "system call " + strings.TrimSuffix(m[1], "64")
			}
		}
		return forKernel
	}
	for _, f := range stack {
		if ofMemory.MatchString(f.name) {
			return forMemory
		}
	}
	switch name := stack[0].name; {
	case strings.HasPrefix(name, "crypto/"), strings.HasPrefix(name, "vendor/golang.org/x/crypto"):
		return forTLS
	case strings.HasPrefix(name, "portway/"), strings.HasPrefix(name, "main."):
		return forOurs
	case strings.HasPrefix(name, "runtime."), strings.HasPrefix(name, "internal/runtime"), strings.HasPrefix(name, "internal/poll"),
		strings.HasPrefix(name, "net."), strings.HasPrefix(name, "syscall."):
		return forRuntime
	}
	return forOthers
}

// profiles samples all peers in all scenarios, once each.
func profiles(ctx context.Context, env *environment, chosen []scenario, peers []*peer, o options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Where the CPU time goes, %s\n\n%d cores, %s. Made by `go run ./bench -profile`: perf samples the peer under load with its\nstacks; each sample counts for what its innermost function is for.\n",
		time.Now().UTC().Format(time.DateOnly), workers(), cpuModel())
	for _, s := range chosen {
		for _, p := range peers {
			if !s.supports(p) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s, %s\n", s.name, p.name)
			r, err := record(ctx, env, s, p, o.duration)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, p.name, err)
			}
			r.markdown(&b)
		}
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	fmt.Print(b.String())
	return os.WriteFile(filepath.Join(o.out, "profile.md"), []byte(b.String()), 0o644)
}

func (r *profile) markdown(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n## %s: %s\n\n%s; %s, %d samples\n\n| share | busy with |\n|---|---|\n", r.scenario.name, r.peer, r.scenario.doc, r.figure, r.samples)
	names := make([]string, 0, len(r.shares))
	for name := range r.shares {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if n := r.shares[b] - r.shares[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	rest := 0
	for _, name := range names {
		if 200*r.shares[name] < r.samples { // under half a percent
			rest += r.shares[name]
			continue
		}
		_, _ = fmt.Fprintf(w, "| %.1f %% | %s |\n", 100*float64(r.shares[name])/float64(r.samples), name)
	}
	_, _ = fmt.Fprintf(w, "| %.1f %% | all else |\n", 100*float64(rest)/float64(r.samples))
}
