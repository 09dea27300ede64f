// Command bench runs Portway and its peers side by side on one machine and
// measures what a proxied request costs each of them in CPU time.
//
// All peers terminate TLS 1.3 with the same certificate and cipher, keep
// connections to the same origin alive, write no logs, and use as many workers
// as there are cores. Rounds are interleaved (every peer once per round), so that
// the noise of the machine falls on all alike. The figure that counts is user +
// system CPU time of the peer's processes per request, read from /proc, and its
// ratio to nginx in the same round. With -profile, it samples where that time goes
// instead; with -before, it measures an older Portway beside this one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	rounds    int
	duration  time.Duration
	peers     string
	scenarios string
	portway   string
	before    string
	bin       string
	out       string
	work      string
	short     bool
	profile   bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "interleaved rounds per scenario")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "length of one measurement")
	flag.StringVar(&o.peers, "peers", "", "comma list of peers; empty: all that are installed")
	flag.StringVar(&o.scenarios, "scenarios", "", "comma list of scenarios; empty: all")
	flag.StringVar(&o.portway, "portway", "dist/portway", "the portway binary to measure")
	flag.StringVar(&o.before, "before", "", "an older portway binary to measure beside it")
	flag.StringVar(&o.bin, "bin", ".cache/bin", "folder with peers built from the Go module proxy")
	flag.StringVar(&o.out, "out", "bench/results", "folder for the tables and the chart")
	flag.StringVar(&o.work, "work", "bench/.work", "scratch folder")
	flag.BoolVar(&o.short, "short", false, "one short round of each: proves that the bench works, measures nothing")
	flag.BoolVar(&o.profile, "profile", false, "sample where the CPU time of the peers goes (with perf) instead of comparing them")
	flag.Parse()
	if o.short {
		o.rounds, o.duration = 1, 300*time.Millisecond
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	work, err := filepath.Abs(o.work)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	env, err := newEnv(work, o)
	if err != nil {
		return err
	}
	origin, err := startOrigin(env)
	if err != nil {
		return fmt.Errorf("start the origin: %w", err)
	}
	defer origin.Close()
	env.origin = origin

	peers, missing, err := startPeers(ctx, env, o)
	if err != nil {
		return err
	}
	defer func() {
		for _, p := range peers {
			p.stop()
		}
	}()
	for _, m := range missing {
		fmt.Fprintln(os.Stderr, "not measured:", m)
	}
	chosen, err := chooseScenarios(o.scenarios)
	if err != nil {
		return err
	}
	if o.profile {
		return profiles(ctx, env, chosen, peers, o)
	}
	res := newResults(peers, missing, o)
	take := measure
	if o.short { // whatever else this machine does
		take = measureAny
	}
	for i, s := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, s.doc)
		for round := range o.rounds {
			for i := range peers {
				p := peers[(i+round)%len(peers)]
				if !s.supports(p) {
					continue
				}
				m, err := take(ctx, env, s, p, o.duration)
				if err != nil {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					res.fail(s, p, err)
					fmt.Fprintf(os.Stderr, "  round %d %-10s FAILED: %v\n", round+1, p.name, err)
					continue
				}
				res.add(s, p, m)
				fmt.Fprintf(os.Stderr, "  round %d %-10s %s\n", round+1, p.name, s.show(m))
			}
		}
		if i == 0 && s.busy {
			for _, p := range peers {
				res.peak(p, s.supports(p))
			}
		}
	}
	for _, p := range peers {
		res.peak(p, false)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	name := "latest"
	if o.short {
		name = "short"
	}
	if err := res.write(filepath.Join(o.out, name)); err != nil {
		return err
	}
	fmt.Print(res.markdown())
	if o.short {
		if bad := res.failures(); len(bad) > 0 {
			return fmt.Errorf("scenarios that did not run: %s", strings.Join(bad, "; "))
		}
	}
	return nil
}
