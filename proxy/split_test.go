package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/exchange"
	"portway/route"
)

// sharing makes a route for host that shares it with others in a role.
func sharing(host, name string, role route.Role, share int, addresses ...string) *route.Route {
	return with(at(host, addresses...), func(r *route.Route) { r.ID, r.Name, r.Role, r.Share = name, name, role, share })
}

// named starts an origin that answers with its name.
func named(t *testing.T, name string) string {
	t.Helper()
	return originAt(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, name)
	})
}

// answers gives who answered n requests, in order.
func answers(t *testing.T, c *http.Client, url string, n int) (order string) {
	t.Helper()
	for range n {
		resp, text := get(t, c, url)
		if resp.StatusCode != http.StatusOK {
			text = resp.Status[:3]
		}
		order += text
	}
	return order
}

// shares counts the letters of what answers gives.
func shares(order string) string {
	var all []string
	for _, letter := range "abcdefh5" {
		if n := strings.Count(order, string(letter)); n > 0 {
			all = append(all, fmt.Sprintf("%c%d", letter, n))
		}
	}
	return strings.Join(all, " ")
}

// Requests are shared in exact proportion, and evenly spread at that.
func TestShares(t *testing.T) {
	t.Parallel()
	a, b, c, d := named(t, "a"), named(t, "b"), named(t, "c"), named(t, "d")
	i := serve(t, []*route.Route{
		sharing("weights.test", "wa", route.Weight, 3, a),
		sharing("weights.test", "wb", route.Weight, 2, b),
		sharing("weights.test", "wc", route.Weight, 1, c),

		sharing("canary.test", "ch", route.None, 0, a),
		sharing("canary.test", "cb", route.Canary, 10, b),
		sharing("canary.test", "cc", route.Canary, 5, c),

		sharing("both.test", "ba", route.Weight, 2, a),
		sharing("both.test", "bb", route.Weight, 1, b),
		sharing("both.test", "bc", route.Canary, 25, c),

		sharing("all.test", "aa", route.None, 0, a),
		sharing("all.test", "ab", route.Canary, 100, b),

		sharing("spare.test", "sa", route.None, 0, a),
		sharing("spare.test", "sd", route.Failover, 0, d),
	})
	client := i.client(t)
	for _, w := range []struct {
		host  string
		n     int
		want  string
		order string // of the first
	}{
		{"weights.test", 60, "a30 b20 c10", "abacba"},
		{"canary.test", 100, "a85 b10 c5", ""},
		{"both.test", 80, "a40 b20 c20", ""},
		{"all.test", 10, "b10", ""},
		{"spare.test", 10, "a10", ""},
	} {
		order := answers(t, client, "http://"+w.host+"/", w.n)
		if got := shares(order); got != w.want || !strings.HasPrefix(order, w.order) {
			t.Errorf("%s: %s (%s), want %s", w.host, got, order, w.want)
		}
	}
	// No bursts: of each ten requests, the canaries of 10% and 5% get 1 or 2.
	order := answers(t, client, "http://canary.test/", 200)
	for n := 0; n < len(order); n += 10 {
		if ten := order[n : n+10]; strings.Count(ten, "b") != 1 || strings.Count(ten, "c") > 1 {
			t.Errorf("ten requests went to %s", ten)
		}
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ weights []int }{{[]int{1}}, {[]int{5, 1, 1}}, {[]int{999, 1000}}, {[]int{90, 10, 0}}, {[]int{1000, 7, 320, 1}}} {
		total, seen := 0, make([]int, len(c.weights))
		for _, w := range c.weights {
			total += w
		}
		list := turns(c.weights)
		if len(list) != total {
			t.Errorf("%v: %d turns", c.weights, len(list))
		}
		for n, i := range list {
			seen[i]++
			for j, w := range c.weights {
				// Never more than one request away from what is due.
				if due := float64(n+1) * float64(w) / float64(total); float64(seen[j]) < due-1 || float64(seen[j]) > due+1 {
					t.Fatalf("%v: after %d turns, %d had %d, due are %.2f", c.weights, n+1, j, seen[j], due)
				}
			}
		}
	}
	weights := []int{200, 100, 0, 75}
	if reduce(weights); fmt.Sprint(weights) != "[8 4 0 3]" {
		t.Errorf("reduced to %v", weights)
	}
}

// A request passes the middleware of the route that it found, and then those of
// the member.
func TestHoldersMiddlewareComesFirst(t *testing.T) {
	t.Parallel()
	var seen atomic.Value
	origin := originAt(t, func(_ http.ResponseWriter, r *http.Request) { seen.Store(r.Header.Get("X-Way")) })
	mark := func(name string) label.Binder {
		return &binder{name, func(next exchange.Handler) exchange.Handler {
			return exchange.HandlerFunc(func(ex *exchange.Exchange) {
				way := string(ex.Request.Fields.Get("x-way")) + name
				ex.Request.Fields.SetString("x-way", way)
				next.Serve(ex)
				ex.Response.Fields.AddString("X-Back", name)
			})
		}}
	}
	i := serve(t, []*route.Route{
		with(sharing("a.test", "holder", route.None, 0, deadAddress(t)), func(r *route.Route) { r.Middleware = []label.Binder{mark("h")} }),
		with(sharing("a.test", "member", route.Canary, 100, origin), func(r *route.Route) { r.Middleware = []label.Binder{mark("m")} }),
	})
	resp, _ := get(t, i.client(t), "http://a.test/")
	if back := resp.Header["X-Back"]; seen.Load() != "hm" || fmt.Sprint(back) != "[m h]" {
		t.Errorf("there: %v, back: %v", seen.Load(), back)
	}
}

// The turns of a member without a usable replica go to the others.
func TestMemberIsDown(t *testing.T) {
	t.Parallel()
	a, b, c := named(t, "a"), named(t, "b"), deadAddress(t)
	for name, routes := range map[string][]*route.Route{
		"a20 b10": {
			sharing("a.test", "a", route.Weight, 2, a), sharing("a.test", "b", route.Weight, 1, b), sharing("a.test", "c", route.Weight, 1, c),
		},
		"a30": {sharing("a.test", "a", route.None, 0, a), sharing("a.test", "c", route.Canary, 50, c)},
		"b30": {
			sharing("a.test", "c", route.None, 0, c), sharing("a.test", "b", route.Failover, 0, b), sharing("a.test", "d", route.Failover, 0, a),
		},
	} {
		i := serve(t, routes)
		answers(t, i.client(t), "http://a.test/", 4) // finds out
		if got := shares(answers(t, i.client(t), "http://a.test/", 30)); name == "a20 b10" {
			if strings.Count(got, "5") > 0 {
				t.Errorf("%s: %s", name, got)
			}
		} else if got != name {
			t.Errorf("got %s, want %s", got, name)
		}
	}
}

// With nobody left, the page is that of the route itself, not of the failover.
func TestAllAreDown(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{
		with(sharing("a.test", "a", route.None, 0, deadAddress(t)), func(r *route.Route) { r.Upstreams[0].State = route.Starting }),
		with(sharing("a.test", "b", route.Failover, 0, deadAddress(t)), func(r *route.Route) { r.Upstreams[0].State = route.Paused }),
	})
	resp, text := get(t, i.client(t), "http://a.test/")
	if resp.StatusCode != 503 || !strings.Contains(text, "The site is starting.") {
		t.Errorf("%s\n%s", resp.Status, text)
	}
}

// Under load, the route's only replica dies and comes back again and again, is
// declared unhealthy, and is stopped: no safe request fails, and while it is there,
// the failover gets none.
func TestFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	n := make(news, 1)
	main, spare := newSick(t, 200), newSick(t, 200)
	routes := func(state route.State) []*route.Route {
		r := labelled(t, sharing("a.test", "main", route.None, 0, main.address), quickly(label.Values{"health.path": "/healthz"}))
		r.Upstreams[0].State = state
		return []*route.Route{r, sharing("a.test", "spare", route.Failover, 0, spare.address)}
	}
	r := routes(route.Ready)[0]
	i := serve(t, routes(route.Ready), n.option())
	n.until(t, "ready", func() bool { return i.states(r) == "ready" })

	var wg sync.WaitGroup
	done := make(chan struct{})
	var asked atomic.Int64
	for range 4 {
		client := i.client(t)
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := client.Get("http://a.test/")
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("%s", resp.Status)
				}
				asked.Add(1)
			}
		})
	}
	some := func(what string, s *sick) {
		t.Helper()
		before := s.served.Load()
		await(t, what, func() bool { return s.served.Load() >= before+20 })
	}
	for range 3 {
		some("requests to the route itself", main)
		before := spare.served.Load()
		some("more of them", main)
		if now := spare.served.Load(); now != before {
			t.Errorf("%d requests to the failover while the route is well", now-before)
		}
		main.status.Store(500)
		n.until(t, "unhealthy", func() bool { return i.states(r) == "unhealthy" })
		some("requests to the failover, since the check fails", spare)
		main.status.Store(200)
		n.until(t, "ready", func() bool { return i.states(r) == "ready" })
		some("requests to the route, which is well again", main)

		i.SetTable(route.NewTable(routes(route.Stopping), nil))
		some("requests to the failover, since the replica stops", spare)
		i.SetTable(route.NewTable(routes(route.Ready), nil))
		n.until(t, "ready", func() bool { return i.states(r) == "ready" })
		some("requests to the route again", main)
	}
	close(done)
	wg.Wait()
	t.Logf("%d requests, none failed; %d by the failover", asked.Load(), spare.served.Load())
}

// A replica that dies hands its safe requests to the failover at once, those in
// flight included, and gets them back when it is there again. Nothing but the
// requests themselves tells that it has died.
func TestFailoverOfDyingReplica(t *testing.T) {
	t.Parallel()
	spare := named(t, "b")
	main := newMortal(t, "a")
	i := serve(t, []*route.Route{
		sharing("a.test", "main", route.None, 0, main.address),
		sharing("a.test", "spare", route.Failover, 0, spare),
	})
	c := i.client(t)
	for range 3 {
		if got := shares(answers(t, c, "http://a.test/", 5)); got != "a5" {
			t.Errorf("while it is there: %s", got)
		}
		main.die()
		if got := shares(answers(t, c, "http://a.test/", 20)); got != "b20" {
			t.Errorf("without it: %s", got)
		}
		main.live(t)
		await(t, "the route has its requests back", func() bool { return answers(t, c, "http://a.test/", 1) == "a" })
	}
	// What is in flight is answered by the failover too.
	block := make(chan struct{})
	main.hold.Store(&block)
	got := make(chan string, 1)
	go func() {
		resp, err := c.Get("http://a.test/hold")
		if err != nil {
			got <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-main.held
	main.die()
	if text := <-got; text != "b" {
		t.Errorf("the request in flight got %q", text)
	}
	close(block)
}

// mortal is an origin that dies, with all its connections, and lives again at the
// same address.
type mortal struct {
	address string
	handler http.Handler
	hold    atomic.Pointer[chan struct{}]
	held    chan struct{}
	server  *http.Server
}

func newMortal(t *testing.T, name string) *mortal {
	t.Helper()
	m := &mortal{address: deadAddress(t), held: make(chan struct{}, 1)}
	m.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			m.held <- struct{}{}
			<-*m.hold.Load()
		}
		_, _ = io.WriteString(w, name)
	})
	m.live(t)
	t.Cleanup(m.die)
	return m
}

// listenAt takes an address that was in use a moment ago.
func listenAt(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (m *mortal) live(t *testing.T) {
	t.Helper()
	l := listenAt(t, m.address)
	m.server = &http.Server{Handler: m.handler, ReadHeaderTimeout: time.Minute}
	go func(s *http.Server) { _ = s.Serve(l) }(m.server)
}

func (m *mortal) die() { _ = m.server.Close() }

// A POST that may have been processed is not given to the failover, and one that
// was not is.
func TestFailoverOfUnsafeRequests(t *testing.T) {
	t.Parallel()
	spare := named(t, "b")
	var posts atomic.Int64
	breaks := originAt(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		posts.Add(1)
		panic(http.ErrAbortHandler)
	})
	i := serve(t, []*route.Route{
		sharing("breaks.test", "breaks", route.None, 0, breaks), sharing("breaks.test", "spare", route.Failover, 0, spare),
		sharing("dead.test", "dead", route.None, 0, deadAddress(t)), sharing("dead.test", "spare2", route.Failover, 0, spare),
	})
	post := func(host string, size int) string {
		resp, err := i.client(t).Post("http://"+host+"/", "text/plain", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		return resp.Status[:3] + string(b[:1])
	}
	if got := post("breaks.test", 3); got != "5025" || posts.Load() != 1 {
		t.Errorf("a POST that broke off: %s, %d tries", got, posts.Load())
	}
	for _, size := range []int{3, 100_000} {
		if got := post("dead.test", size); got != "200b" {
			t.Errorf("a POST of %d bytes that was never sent: %s", size, got)
		}
	}
}

// Plans change with tables, while the turns go on.
func TestPlansChange(t *testing.T) {
	t.Parallel()
	a, b := named(t, "a"), named(t, "b")
	routes := func(percent int) *route.Table {
		list := []*route.Route{sharing("a.test", "a", route.None, 0, a)}
		if percent > 0 {
			list = append(list, sharing("a.test", "b", route.Canary, percent, b))
		}
		return route.NewTable(list, nil)
	}
	i := serve(t, []*route.Route{})
	for percent, want := range map[int]string{0: "a20", 5: "a19 b1", 50: "a10 b10", 100: "b20"} {
		i.SetTable(routes(percent))
		if got := shares(answers(t, i.client(t), "http://a.test/", 20)); got != want {
			t.Errorf("%d%%: %s, want %s", percent, got, want)
		}
	}
}

// With sticky on all of them, a visitor stays with the route that answered first,
// while new visitors are shared in exact proportion.
func TestVisitorsStayWithAMember(t *testing.T) {
	t.Parallel()
	a, b := newMortal(t, "a"), newMortal(t, "b")
	sticky := func(r *route.Route) *route.Route { return labelled(t, r, label.Values{"sticky": "true"}) }
	i := serve(t, []*route.Route{
		sticky(sharing("a.test", "a", route.None, 0, a.address)), sticky(sharing("a.test", "b", route.Canary, 25, b.address)),
	})
	firsts := ""
	var ofB *http.Client
	for range 8 {
		c := i.client(t)
		c.Jar, _ = cookiejar.New(nil)
		order := answers(t, c, "https://a.test/", 10)
		if order != strings.Repeat(order[:1], 10) {
			t.Errorf("one visitor went to %s", order)
		}
		if firsts += order[:1]; order[0] == 'b' {
			ofB = c
		}
	}
	if got := shares(firsts); got != "a6 b2" {
		t.Errorf("new visitors: %s (%s), want a6 b2", got, firsts)
	}
	b.die()
	if got := shares(answers(t, ofB, "https://a.test/", 6)); got != "a6" {
		t.Errorf("the canary is gone: %s", got)
	}
	b.live(t)
	await(t, "new visitors get to the canary again", func() bool { return answers(t, i.client(t), "https://a.test/", 1) == "b" })
	if got := shares(answers(t, ofB, "https://a.test/", 4)); got != "a4" {
		t.Errorf("the visitor that moved to the route itself: %s", got)
	}
}

// While a route's circuit breaker is open, its failover has the requests.
func TestFailoverOfOpenBreaker(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	ill.Store(true)
	fails := originAt(t, func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "a")
	})
	i := serve(t, []*route.Route{
		labelled(t, sharing("a.test", "main", route.None, 0, fails), label.Values{
			"breaker": "50%", "breaker.requests": "4", "breaker.for": "300ms", "breaker.window": "10s",
		}),
		sharing("a.test", "spare", route.Failover, 0, named(t, "b")),
	})
	c := i.client(t)
	if got := shares(answers(t, c, "http://a.test/", 4)); !strings.HasSuffix(got, "4") || strings.HasPrefix(got, "b") {
		t.Errorf("before the breaker opens: %s", got)
	}
	if got := shares(answers(t, c, "http://a.test/", 5)); got != "b5" {
		t.Errorf("while it is open: %s", got)
	}
	ill.Store(false)
	await(t, "the route has its requests back", func() bool { return answers(t, c, "http://a.test/", 5) == "aaaaa" })
}
