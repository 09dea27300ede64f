package health

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portway/label"
	"portway/proxy/upstream"
)

// results steers the checks of TCP checkers, without a network.
type results struct {
	mu    sync.Mutex
	err   error
	block bool // until the check's time is over
	times []time.Time
}

func (r *results) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	r.mu.Lock()
	r.times = append(r.times, time.Now())
	err, block := r.err, r.block
	r.mu.Unlock()
	if block {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	c, other := net.Pipe()
	_ = other.Close()
	return c, nil
}

func (r *results) set(err error, block bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.block, r.times = err, block, nil
}

// pauses are the times between checks since the last set.
func (r *results) pauses() (all []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i < len(r.times); i++ {
		all = append(all, r.times[i].Sub(r.times[i-1]))
	}
	return all
}

func (r *results) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a Checker in a bubble of synctest.
func start(t *testing.T, r *results, values label.Values, serves bool) (c *Checker, log *logBuffer, changes *atomic.Int32) {
	t.Helper()
	if values["health"] == "" {
		values["health"] = "tcp"
	}
	log, changes = new(logBuffer), new(atomic.Int32)
	target := Target{Name: "app-1", Upstream: upstream.Config{Network: "tcp", Address: "app:80", Scheme: "http", Dial: r.dial}, Serves: serves}
	logger := slog.New(slog.NewTextHandler(log, nil))
	c = Start(options(t, values), target, logger, func(*Checker) { changes.Add(1) })
	t.Cleanup(func() {
		c.Stop()
		c.Wait()
	})
	return c, log, changes
}

func state(c *Checker) State {
	synctest.Wait()
	s, _ := c.State()
	return s
}

// A new replica is asked at once and then every second, and is in after its first
// success; from then on the interval and the thresholds count.
func TestLifeOfAReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &results{err: errors.New("refused")}
		c, log, changes := start(t, r, label.Values{}, false)
		synctest.Wait()
		if s, why := c.State(); s != Unknown || why == nil || why.Error() != "connect to app:80: refused" || changes.Load() != 1 {
			t.Errorf("after the first check: %v, %v, %d changes", s, why, changes.Load())
		}
		time.Sleep(20 * time.Second)
		for _, p := range r.pauses() {
			if p < 900*time.Millisecond || p > 1100*time.Millisecond {
				t.Errorf("%v between the checks of a replica that starts", p)
			}
		}
		if n := r.count(); n < 18 || n > 23 || changes.Load() != 1 {
			t.Errorf("%d checks in 20 s, %d changes", n, changes.Load())
		}
		r.set(nil, false)
		time.Sleep(1100 * time.Millisecond)
		if s := state(c); s != Up || changes.Load() != 2 {
			t.Errorf("after a success: %v, %d changes", s, changes.Load())
		}
		time.Sleep(200 * time.Second)
		same := true
		all := r.pauses()
		for _, p := range all {
			same = same && p == all[0]
			if p < 9*time.Second || p > 11*time.Second {
				t.Errorf("%v between checks", p)
			}
		}
		if same || len(all) < 17 {
			t.Errorf("no jitter: %v", all)
		}

		r.set(errors.New("503"), false)
		for r.count() < 2 {
			time.Sleep(time.Second)
		}
		if s := state(c); s != Up {
			t.Errorf("after two failures: %v", s)
		}
		r.set(nil, false) // ends the row
		time.Sleep(11 * time.Second)
		r.set(errors.New("503"), false)
		for r.count() < 3 {
			if s := state(c); s != Up {
				t.Errorf("after %d failures: %v", r.count(), s)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if s, why := c.State(); s != Down || why.Error() != "connect to app:80: 503" || changes.Load() != 3 {
			t.Errorf("after three failures: %v, %v, %d changes", s, why, changes.Load())
		}

		r.set(nil, false)
		for r.count() < 1 {
			time.Sleep(time.Second)
		}
		if s := state(c); s != Down {
			t.Errorf("after one success: %v", s)
		}
		for r.count() < 2 {
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if s, why := c.State(); s != Up || why != nil || changes.Load() != 4 {
			t.Errorf("after two successes: %v, %v, %d changes", s, why, changes.Load())
		}
		for _, line := range []string{"does not pass its health check yet", "passes its health check, it gets", "fails its health check, it gets no more", "passes its health check again"} {
			if n := strings.Count(log.String(), line); n != 1 {
				t.Errorf("the log says %q %d times:\n%s", line, n, log)
			}
		}
	})
}

func TestThresholds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &results{err: errors.New("no")}
		c, _, _ := start(t, r, label.Values{"health.down": "1", "health.up": "1", "health.interval": "1s"}, true)
		if s := state(c); s != Down {
			t.Errorf("after the first failure: %v", s)
		}
		r.set(nil, false)
		time.Sleep(1200 * time.Millisecond)
		if s := state(c); s != Up {
			t.Errorf("after the first success: %v", s)
		}
	})
}

// A replica that serves already when checks are switched on is not taken out
// before they have found something.
func TestServesAlready(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &results{err: errors.New("no")}
		c, _, changes := start(t, r, label.Values{"health.interval": "1s"}, true)
		if s := state(c); s != Up || changes.Load() != 0 {
			t.Errorf("after the first failure: %v, %d changes", s, changes.Load())
		}
		time.Sleep(3 * time.Second)
		if s := state(c); s != Down || changes.Load() != 1 {
			t.Errorf("after three failures: %v, %d changes", s, changes.Load())
		}
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &results{block: true}
		c, _, _ := start(t, r, label.Values{"health.timeout": "2s"}, false)
		time.Sleep(1999 * time.Millisecond)
		synctest.Wait()
		if s, why := c.State(); s != Unknown || why != nil {
			t.Errorf("after 1.999 s: %v, %v", s, why)
		}
		time.Sleep(time.Millisecond)
		<-c.First()
		if _, why := c.State(); why == nil || why.Error() != "connect to app:80: no answer within 2s (health.timeout)" {
			t.Errorf("after 2 s: %v", why)
		}
	})
}

// Stop ends a check under way, and is no result.
func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &results{block: true}
		c, log, changes := start(t, r, label.Values{}, false)
		synctest.Wait()
		c.Stop()
		c.Wait()
		<-c.First()
		if s, why := c.State(); s != Unknown || why != nil || changes.Load() != 0 || log.String() != "" {
			t.Errorf("%v, %v, %d changes, log %s", s, why, changes.Load(), log)
		}
	})
}
