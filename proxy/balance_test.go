package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portway/label"
	"portway/proxy/balance"
	"portway/proxy/errorpage"
	"portway/proxy/exchange"
	"portway/proxy/upstream"
	"portway/route"
)

func TestRoundRobin(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.set(at("a.test", "one:80", "two:80", "three:80"))
	got := map[string]int{}
	for range 30 {
		got[f.ask("a.test")]++
	}
	if got["one:80"] != 10 || got["two:80"] != 10 || got["three:80"] != 10 {
		t.Errorf("shares %v", got)
	}
}

// options are what labels without their prefix say about balancing.
func options(t *testing.T, values label.Values) []label.Binder {
	t.Helper()
	o := &balance.Options{}
	for _, p := range label.Parse("test", func(o string) string { return label.Key("", o) }, values, o) {
		t.Fatal(p)
	}
	return []label.Binder{o}
}

func TestLeastConn(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.set(with(at("a.test", "one:80", "two:80", "three:80"), func(r *route.Route) {
		r.Middleware = options(t, label.Values{"balance": "least-conn"})
	}))
	busy := map[string]*exchange.Exchange{}
	for range 3 { // each gets one that stays
		ex := f.begin("GET", "a.test")
		busy[string(ex.Response.Fields.Get("x-from"))] = ex
	}
	if len(busy) != 3 {
		t.Fatalf("3 requests went to %d replicas", len(busy))
	}
	busy["two:80"].Finish(0, nil)
	for range 5 {
		if got := f.ask("a.test"); got != "two:80" {
			t.Errorf("answer from %q, which has more to do than two:80", got)
		}
	}
}

func TestOnlyReadyReplicas(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.set(with(at("a.test", "one:80", "two:80", "three:80"), func(r *route.Route) {
		r.Upstreams[0].State, r.Upstreams[2].State = route.Unhealthy, route.Stopping
	}))
	for range 6 {
		if got := f.ask("a.test"); got != "two:80" {
			t.Errorf("answer from %q", got)
		}
	}
}

// dialErr is what a pool says if its origin refuses connections.
func dialErr(why string) error { return fmt.Errorf("%w: %s", upstream.ErrDial, why) }

func TestRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method string
		fill         func(ex *exchange.Exchange)
		err          error
		tries        int
		status       int
	}{
		{"refused: any method", "POST", nil, dialErr("refused"), 3, 502},
		{"refused: with a body", "POST", withBody, dialErr("refused"), 3, 502},
		{"not processed: any method", "POST", withBody, fmt.Errorf("%w: goaway", upstream.ErrNotProcessed), 3, 502},
		{"broke off: GET", "GET", nil, errors.New("reset"), 3, 502},
		{"broke off: DELETE", "DELETE", nil, errors.New("reset"), 3, 502},
		{"broke off: POST", "POST", nil, errors.New("reset"), 1, 502},
		{"broke off: PATCH", "PATCH", nil, errors.New("reset"), 1, 502},
		{"broke off: unknown method", "get", nil, errors.New("reset"), 1, 502},
		{"broke off: PUT with a body", "PUT", withBody, errors.New("reset"), 1, 502},
		{"broke off: upgrade", "GET", func(ex *exchange.Exchange) { ex.Request.Upgrade = []byte("websocket") }, errors.New("reset"), 1, 502},
		{"garbage: GET", "GET", nil, fmt.Errorf("%w: what?", upstream.ErrProtocol), 3, 502},
		{"too slow", "GET", nil, fmt.Errorf("%w: 60 s", upstream.ErrTimeout), 1, 504},
		{"connecting takes too long", "GET", nil, fmt.Errorf("%w: %w", upstream.ErrDial, slowErr{}), 3, 504},
		{"cannot be sent", "GET", nil, fmt.Errorf("%w: space in a name", upstream.ErrInvalid), 1, 500},
		{"busy", "GET", nil, fmt.Errorf("%w: %w", upstream.ErrNotProcessed, upstream.ErrBusy), 3, 503},
		{"client too slow", "POST", withBody, fmt.Errorf("%w: 60 s", exchange.ErrClientSlow), 1, 408},
		{"client broke off", "POST", withBody, fmt.Errorf("%w: EOF", exchange.ErrClientGone), 1, 400},
		{"client is gone", "GET", func(ex *exchange.Exchange) { ex.Cancel(exchange.ErrClientGone) }, dialErr("refused"), 1, 502},
		{"it took long already", "GET", func(ex *exchange.Exchange) { ex.Start = time.Now().Add(-time.Minute) }, dialErr("refused"), 1, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			f.set(at("a.test", "one:80", "two:80", "three:80"))
			for _, p := range f.pools {
				p.serve = func(*exchange.Exchange) error { return c.err }
			}
			ex := exchange.Get()
			ex.Conn, ex.Start = &exchange.Conn{}, time.Now()
			ex.Request.Method, ex.Request.Authority, ex.Request.Path = []byte(c.method), []byte("a.test"), []byte("/")
			if c.fill != nil {
				c.fill(ex)
			}
			f.serve(ex)
			tries := 0
			for _, p := range f.pools {
				calls, _, _ := p.counts()
				tries += calls
			}
			if tries != c.tries || ex.Response.Status != c.status {
				t.Errorf("%d tries, status %d; want %d, %d", tries, ex.Response.Status, c.tries, c.status)
			}
			ex.Finish(0, nil)
			exchange.Put(ex)
			for _, r := range f.replicas.byKey {
				if n := r.inFlight.Load(); n != 0 {
					t.Errorf("%d in flight after the end", n)
				}
			}
		})
	}
}

func withBody(ex *exchange.Exchange) {
	ex.Request.Body, ex.Request.Length = exchange.BytesBody([]byte("x")), 1
}

type slowErr struct{}

func (slowErr) Error() string   { return "i/o timeout" }
func (slowErr) Timeout() bool   { return true }
func (slowErr) Temporary() bool { return true }

// A replica that refuses is left out at once; single requests try it again after
// a pause that doubles; when it answers, it is back in full.
func TestRefusingReplicaIsLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t)
		f.set(at("a.test", "dead:80", "live:80"))
		dead := f.pools["dead:80"]
		dead.serve = func(*exchange.Exchange) error { return dialErr("refused") }
		asked := func(d time.Duration) int {
			before, _, _ := dead.counts()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				if got := f.ask("a.test"); got != "live:80" {
					t.Fatalf("answer from %q", got)
				}
			}
			after, _, _ := dead.counts()
			return after - before
		}
		// First at 0, then after 0.5 s, 1 s, 2 s, 4 s, 8 s, and 15 s each.
		for _, step := range []struct {
			d    time.Duration
			want int
		}{{400 * time.Millisecond, 1}, {1100 * time.Millisecond, 1}, {15 * time.Second, 4}, {60 * time.Second, 4}} {
			if n := asked(step.d); n != step.want {
				t.Errorf("%d requests tried the dead replica in %v, want %d", n, step.d, step.want)
			}
		}
		dead.mu.Lock()
		dead.serve = nil
		dead.mu.Unlock()
		time.Sleep(15 * time.Second)
		got := map[string]int{}
		for range 20 {
			got[f.ask("a.test")]++
		}
		if got["dead:80"] < 9 {
			t.Errorf("the replica is not back: %v", got)
		}
	})
}

// When all are marked, they are tried all the same: there is nothing to lose.
func TestAllMarked(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.set(at("a.test", "one:80", "two:80"))
	for _, p := range f.pools {
		p.serve = func(*exchange.Exchange) error { return dialErr("refused") }
	}
	for range 3 {
		if got := f.ask("a.test"); got != errorpage.Title(502) {
			t.Errorf("got %q", got)
		}
	}
	f.pools["two:80"].serve = nil
	if got := f.ask("a.test"); got != "two:80" {
		t.Errorf("got %q", got)
	}
}

func TestManyReplicas(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	var addresses []string
	for i := range 300 {
		addresses = append(addresses, fmt.Sprint("r", i, ":80"))
	}
	f.set(at("a.test", addresses...))
	for _, p := range f.pools {
		p.serve = func(*exchange.Exchange) error { return dialErr("refused") }
	}
	f.pools["r200:80"].serve = nil
	if got := f.ask("a.test"); got != "r200:80" {
		t.Errorf("got %q", got)
	}
}

func TestWhyNobodyAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		states []route.State
		why    string
		retry  string
	}{
		{nil, "Nothing runs behind this site at the moment.", "5"},
		{[]route.State{route.Starting}, "The site is starting.", "2"},
		{[]route.State{route.Stopped, route.Starting, route.Unhealthy}, "The site is starting.", "2"},
		{[]route.State{route.Stopped, route.Unhealthy}, "The site is running, but its health check fails.", "5"},
		{[]route.State{route.Paused, route.Stopped}, "The site is paused.", "5"},
		{[]route.State{route.Stopping, route.Stopped}, "The site is being stopped or replaced.", "5"},
		{[]route.State{route.Stopped}, "The site is stopped.", "5"},
	} {
		f := newFakes(t)
		log := &bytes.Buffer{}
		f.logger = slog.New(slog.NewTextHandler(log, nil))
		r := at("a.test")
		for i, s := range c.states {
			r.Upstreams = append(r.Upstreams, route.Upstream{
				ID: fmt.Sprint(i), Name: "secret-name", Network: "tcp", Address: "172.18.0.3:80", State: s, Reason: "exit code 137",
			})
		}
		f.set(r)
		ex := f.begin("GET", "a.test")
		p := make([]byte, 1000)
		n, _ := ex.Response.Body.Read(p)
		page := string(p[:n])
		if ex.Response.Status != 503 || !strings.Contains(page, c.why) || string(ex.Response.Fields.Get("retry-after")) != c.retry {
			t.Errorf("%v: %d, Retry-After %s, %q", c.states, ex.Response.Status, ex.Response.Fields.Get("retry-after"), page)
		}
		for _, inside := range []string{"secret-name", "172.18", "137"} {
			if strings.Contains(page, inside) {
				t.Errorf("%v: the page tells %q", c.states, inside)
			}
		}
		if len(c.states) > 0 && !strings.Contains(log.String(), "exit code 137") {
			t.Errorf("%v: the log does not tell why: %s", c.states, log)
		}
		ex.Finish(0, nil)
		exchange.Put(ex)
	}
}

// The real thing: with one of two replicas dead, not one GET fails.
func TestDeadReplicaCostsNoRequest(t *testing.T) {
	t.Parallel()
	live := originAt(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("live")) })
	i := serve(t, []*route.Route{at("a.test", deadAddress(t), live)})
	client := i.client(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				resp, err := client.Get("https://a.test/")
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("got %v, %v", resp, err)
					return
				}
				_ = resp.Body.Close()
			}
		})
	}
	wg.Wait()
	if n := strings.Count(i.log.String(), "takes no connections"); n != 1 {
		t.Errorf("%d log lines about the dead replica, want 1", n)
	}
}
