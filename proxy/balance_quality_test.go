package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/label"
	"portway/route"
)

// load has workers send n requests in all, one after the other each, and gives how
// long they took. They pause in between, so that it is not this machine's CPU that
// is measured.
func load(t *testing.T, client *http.Client, url string, workers, n int) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				begin := time.Now()
				resp, err := client.Get(url)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				d := time.Since(begin)
				if resp.StatusCode != http.StatusOK {
					t.Errorf("status %d", resp.StatusCode)
				}
				time.Sleep(10 * time.Millisecond)
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

// One replica of four is slow. By round robin, each fourth request waits for it; p2c
// asks it now and then only.
func TestSlowReplicaBarelyMatters(t *testing.T) { // alone: it is about time
	var slow atomic.Int64
	var origins []string
	for i := range 4 {
		origins = append(origins, originAt(t, func(w http.ResponseWriter, _ *http.Request) {
			if i == 0 {
				slow.Add(1)
				time.Sleep(200 * time.Millisecond)
			} else {
				time.Sleep(2 * time.Millisecond)
			}
			_, _ = io.WriteString(w, "done")
		}))
	}
	const requests, clients = 2000, 16
	measure := func(algorithm string) (p99 time.Duration, share int64) {
		r := at("a.test", origins...)
		r.Middleware = options(t, label.Values{"balance": algorithm})
		i := serve(t, []*route.Route{r})
		slow.Store(0)
		took := load(t, i.client(t, onlyHTTP1), "http://a.test/", clients, requests)
		_ = i.stop()
		return took[len(took)*99/100].Round(time.Millisecond / 10), slow.Load()
	}
	roundRobin, all := measure("round-robin")
	if roundRobin < 190*time.Millisecond {
		t.Fatal("the slow replica did not show in round robin, so this test shows nothing")
	}
	for range 3 { // a busy machine makes any replica slow
		p2c, few := measure("p2c")
		t.Logf("FIGURES one slow replica of four (200 ms against 2 ms), %d requests by %d clients: p99 %v by round-robin, %v by p2c (limit: half); %d and %d requests went to the slow one",
			requests, clients, roundRobin, p2c, all, few)
		// What the algorithm decides is who gets requests; how long the others take is
		// also up to the machine.
		if p2c <= roundRobin/2 || few < requests/100 {
			return
		}
	}
	t.Error("p99 by p2c is more than half of that by round robin, and the slow replica got a hundredth of the requests or more")
}

// TestHelperOrigin is no test, but the process of a replica: see startReplica.
func TestHelperOrigin(t *testing.T) {
	name := os.Getenv("PORTWAY_TEST_REPLICA")
	if name == "" {
		t.SkipNow()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listens at", l.Addr())
	t.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Millisecond) // so that some are always in flight
		_, _ = io.WriteString(w, name)
	})))
}

// startReplica runs a replica as a process of its own; kill ends it without warning.
func startReplica(t *testing.T, name string) (address string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperOrigin$")
	cmd.Env = append(os.Environ(), "PORTWAY_TEST_REPLICA="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "listens at "); ok {
			return address, kill
		}
	}
	t.Fatalf("replica %s does not listen", name)
	return "", nil
}

// A replica is killed (SIGKILL, a real process) while all four are busy. No request
// that may be repeated fails, by any algorithm.
func TestKilledReplicaLosesNoSafeRequest(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"round-robin", "least-conn", "p2c", "hash"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			var origins []string
			var kill func()
			for n := range 4 {
				address, k := startReplica(t, fmt.Sprint("replica-", n))
				origins = append(origins, address)
				kill = k
			}
			r := at("a.test", origins...)
			r.Middleware = options(t, label.Values{"balance": algorithm})
			if algorithm == "hash" {
				r.Middleware = options(t, label.Values{"balance": "hash", "balance.key": "header:X-Key"})
			}
			i := serve(t, []*route.Route{r})
			const clients = 12
			const half = 1500
			var answered, failed atomic.Int64
			var wg sync.WaitGroup
			warm, stop := make(chan struct{}), make(chan struct{})
			for c := range clients {
				client := i.client(t, onlyHTTP1)
				wg.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
						}
						req, _ := http.NewRequest([]string{"GET", "HEAD", "PUT"}[n%3], "https://a.test/", nil)
						req.Header.Set("X-Key", fmt.Sprint(c, n))
						resp, err := client.Do(req)
						if err != nil {
							failed.Add(1)
							t.Error(err)
							continue
						}
						_, err = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						if err != nil || resp.StatusCode != http.StatusOK {
							failed.Add(1)
							t.Errorf("%d, %v", resp.StatusCode, err)
						}
						switch answered.Add(1) {
						case half:
							close(warm)
						case 2 * half:
							close(stop)
						}
					}
				})
			}
			<-warm
			before := answered.Load()
			kill()
			wg.Wait()
			t.Logf("FIGURES a replica of four killed under load of %d clients, %s: %d safe requests before, %d after, %d failed",
				clients, algorithm, before, answered.Load()-before, failed.Load())
		})
	}
}
