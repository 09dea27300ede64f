package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/exchange"
	"portway/route"
)

// trio starts three replicas that answer with their number, and a Server in front.
func trio(t *testing.T, values label.Values, serveHTTP func(replica int, w http.ResponseWriter, r *http.Request)) *instance {
	t.Helper()
	var origins []string
	for n := range 3 {
		origins = append(origins, originAt(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Replica", fmt.Sprint(n))
			if serveHTTP != nil {
				serveHTTP(n, w, r)
			}
		}))
	}
	r := at("a.test", origins...)
	r.Middleware = options(t, values)
	return serve(t, []*route.Route{r}, trustLoopback)
}

func TestHashThroughListener(t *testing.T) {
	t.Parallel()
	i := trio(t, label.Values{"balance": "hash"}, nil)
	client := i.client(t)
	where := map[string]string{}
	used := map[string]bool{}
	for range 3 {
		for n := range 30 {
			address := fmt.Sprint("203.0.113.", n)
			resp, _ := get(t, client, "https://a.test/", "X-Forwarded-For", address)
			replica := resp.Header.Get("X-Replica")
			if where[address] == "" {
				where[address], used[replica] = replica, true
			}
			if replica != where[address] {
				t.Errorf("%s goes to %s, and then to %s", address, where[address], replica)
			}
		}
	}
	if len(used) != 3 {
		t.Errorf("30 clients use the replicas %v", used)
	}
}

func TestLeastConnThroughListener(t *testing.T) {
	t.Parallel()
	begun, end := make(chan int), make(chan struct{})
	i := trio(t, label.Values{"balance": "least-conn"}, func(n int, _ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			begun <- n
			<-end
		}
	})
	client := i.client(t, onlyHTTP1)
	var wg sync.WaitGroup
	busy := map[int]bool{}
	for range 2 {
		wg.Go(func() {
			resp, err := client.Get("https://a.test/long")
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
		})
		busy[<-begun] = true
	}
	if len(busy) != 2 {
		t.Errorf("two requests at the same time are both with %v", busy)
	}
	for range 10 {
		resp, _ := get(t, client, "https://a.test/")
		var n int
		_, _ = fmt.Sscan(resp.Header.Get("X-Replica"), &n)
		if busy[n] {
			t.Errorf("replica %d got a request, though one is idle", n)
		}
	}
	close(end)
	wg.Wait()
}

// A browser stays with its replica by HTTP/1.1 and HTTP/2, also with another process
// of Portway, and its cookie never goes over plain HTTP.
func TestStickyThroughListener(t *testing.T) {
	t.Parallel()
	var origins []string
	var seen atomic.Value
	for n := range 3 {
		origins = append(origins, originAt(t, func(w http.ResponseWriter, r *http.Request) {
			seen.Store(r.Header.Get("Cookie"))
			w.Header().Set("X-Replica", fmt.Sprint(n))
			http.SetCookie(w, &http.Cookie{Name: "app", Value: "1", Path: "/"})
		}))
	}
	routes := func() []*route.Route {
		r := at("a.test", origins...)
		r.Middleware = options(t, label.Values{"sticky": "true"})
		return []*route.Route{r}
	}
	one, two := serve(t, routes()), serve(t, routes())
	for visitor := range 4 {
		jar, _ := cookiejar.New(nil)
		var home string
		for n, client := range []*http.Client{one.client(t), one.client(t, onlyHTTP1), two.client(t), two.client(t, onlyHTTP1)} {
			client.Jar = jar
			for range 5 {
				resp, _ := get(t, client, "https://a.test/")
				replica := resp.Header.Get("X-Replica")
				if home == "" {
					home = replica
					for _, c := range resp.Cookies() {
						if c.Name != "app" && (!c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/") {
							t.Errorf("cookie %v", c)
						}
					}
				} else if got := seen.Load(); got != "app=1" {
					t.Errorf("the origin sees the cookies %q", got)
				}
				if replica != home {
					t.Errorf("visitor %d, client %d: was at %s, is at %s", visitor, n, home, replica)
				}
			}
		}
	}
	resp, _ := get(t, one.client(t), "http://a.test/")
	if c := resp.Cookies(); len(c) != 2 || c[1].Secure {
		t.Errorf("over plain HTTP, the cookies are %v", c)
	}
}

// A replica that answers 503 is left out, and is back after its time.
func TestEjectThroughListener(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	ill.Store(true)
	i := trio(t, label.Values{"eject": "2", "eject.for": "300ms"}, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 && ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	client := i.client(t)
	bad := 0
	for range 12 {
		resp, _ := get(t, client, "https://a.test/")
		if resp.StatusCode != http.StatusOK {
			bad++
		}
	}
	if bad != 2 {
		t.Errorf("%d answers of the ill replica came through, want 2", bad)
	}
	ill.Store(false)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if resp, _ := get(t, client, "https://a.test/"); resp.Header.Get("X-Replica") == "0" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the replica is not back")
		}
	}
}

// A broken answer counts too, though its head was good: half of the content is no
// content.
func TestBodyThatBreaksOffCounts(t *testing.T) {
	t.Parallel()
	i := trio(t, label.Values{"eject": "1"}, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 50000))
			panic(http.ErrAbortHandler)
		}
	})
	client := i.client(t, onlyHTTP1)
	broken := 0
	for range 12 {
		resp, err := client.Get("https://a.test/")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			broken++
		}
		_ = resp.Body.Close()
	}
	if broken != 1 {
		t.Errorf("%d answers broke off before the replica was left out, want 1", broken)
	}
}

// No choice of a replica, and no cookie, costs memory.
func TestBalancingDoesNotAllocate(t *testing.T) {
	for _, values := range []label.Values{
		{"balance": "round-robin", "slow-start": "1m"},
		{"balance": "least-conn"},
		{"balance": "p2c"},
		{"balance": "hash"},
		{"balance": "hash", "balance.key": "cookie:x"},
		{"sticky": "true", "sticky.cookie": "r"},
		{"eject": "3"},
		{"retry": "2"},
	} {
		f := newFakes(t)
		for _, name := range []string{"one", "two", "three"} {
			f.pools[name] = &fakePool{serve: func(ex *exchange.Exchange) error {
				ex.Response.Status = http.StatusOK
				return nil
			}}
		}
		f.set(with(at("a.test", "one", "two", "three"), func(r *route.Route) { r.Middleware = options(t, values) }))
		conn := &exchange.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:99")}
		method, authority, path := []byte(http.MethodGet), []byte("a.test"), []byte("/x")
		ex := exchange.Get()
		work := func() {
			ex.Conn, ex.Memory, ex.Start = conn, ex.Memory[:0], time.Now()
			ex.Request.Method, ex.Request.Authority, ex.Request.Path = method, authority, path
			ex.Request.Fields.AddString("Cookie", "x=1; r=2; y=3")
			f.serve(ex)
			if ex.Response.Status != http.StatusOK {
				t.Errorf("status %d", ex.Response.Status)
			}
			ex.Finish(0, nil)
			exchange.Put(ex)
			ex = exchange.Get()
		}
		work()
		if n := testing.AllocsPerRun(1000, work); n > 0 && !raceDetector {
			t.Errorf("%v: %v allocations, want 0", values, n)
		}
	}
}

// A route's own time limits are kept, and do not touch another route to the same
// replica.
func TestTimeoutsThroughListener(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	origin := originAt(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half ")
			w.(http.Flusher).Flush()
		}
		select {
		case <-end:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "there")
	})
	hasty, patient := at("hasty.test", origin), at("patient.test", origin)
	hasty.Middleware = options(t, label.Values{"timeout.first-byte": "300ms", "timeout.idle": "300ms"})
	patient.Middleware = options(t, label.Values{"timeout.first-byte": "0", "timeout.idle": "0"})
	// Nobody can tell a dead address from one that drops packets without waiting: the
	// first of RFC 5737's is never there.
	nowhere := at("nowhere.test", "192.0.2.1:80")
	nowhere.Middleware = options(t, label.Values{"timeout.dial": "200ms"})
	i := serve(t, []*route.Route{hasty, patient, nowhere})
	client := i.client(t, onlyHTTP1)

	waits := make(chan string, 2)
	for _, path := range []string{"/", "/half"} {
		go func() {
			resp, err := client.Get("https://patient.test" + path)
			if err != nil {
				waits <- err.Error()
				return
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			waits <- fmt.Sprint(resp.StatusCode, " ", string(b))
		}()
	}
	begin := time.Now()
	if resp, _ := get(t, client, "https://hasty.test/"); resp.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("no first byte: status %d", resp.StatusCode)
	}
	resp, err := client.Get("https://hasty.test/half")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err == nil || string(b) != "half " {
		t.Errorf("silence in the middle: %q, %v", b, err)
	}
	_ = resp.Body.Close()
	if resp, _ := get(t, client, "https://nowhere.test/"); resp.StatusCode < 500 {
		t.Errorf("no connection: status %d", resp.StatusCode)
	}
	if d := time.Since(begin); d < 600*time.Millisecond || d > 15*time.Second {
		t.Errorf("limits of 300, 300 and 200 ms took %v", d)
	}
	close(end)
	for range 2 {
		if got := <-waits; got != "200 there" && got != "200 half there" {
			t.Errorf("without limits: %s", got)
		}
	}
}

// The breaker spares an application that fails: of many requests, a few reach it.
func TestBreakerThroughListener(t *testing.T) {
	t.Parallel()
	var asked, ill atomic.Int64
	ill.Store(1)
	i := trio(t, label.Values{"breaker": "50%", "breaker.requests": "10", "breaker.for": "1s"}, func(_ int, w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if ill.Load() == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	client := i.client(t)
	for n := range 40 {
		resp, body := get(t, client, "https://a.test/")
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("status %d", resp.StatusCode)
		}
		if n > 10 && resp.Header.Get("X-Replica") == "" && resp.Header.Get("Retry-After") == "" {
			t.Errorf("answer %v, %s", resp.Header, body)
		}
	}
	if n := asked.Load(); n < 10 || n > 13 { // three probes at most, should this have taken so long
		t.Errorf("%d of 40 requests reached the application, want 10", n)
	}
	ill.Store(0)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if resp, _ := get(t, client, "https://a.test/"); resp.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the breaker stays open")
		}
	}
	for range 20 {
		if resp, _ := get(t, client, "https://a.test/"); resp.StatusCode != http.StatusOK {
			t.Errorf("status %d after the breaker has closed", resp.StatusCode)
		}
	}
}

// A replica never has more in flight than it may, others wait their turn, and all are
// served; what does not fit into the queue gets 503 and Retry-After.
func TestReplicaLimitThroughListener(t *testing.T) {
	t.Parallel()
	var now [3]atomic.Int64
	var most, served, refused atomic.Int64
	i := trio(t, label.Values{"replica.max-in-flight": "2", "replica.max-in-flight.queue": "10"}, func(n int, _ http.ResponseWriter, _ *http.Request) {
		in := now[n].Add(1)
		for m := most.Load(); in > m && !most.CompareAndSwap(m, in); m = most.Load() {
		}
		time.Sleep(2 * time.Millisecond)
		now[n].Add(-1)
	})
	ask := func(client *http.Client, times int) {
		for range times {
			resp, err := client.Get("https://a.test/")
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			switch {
			case resp.StatusCode == http.StatusOK:
				served.Add(1)
			case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
				refused.Add(1)
			default:
				t.Errorf("status %d, %v", resp.StatusCode, resp.Header)
			}
		}
	}
	load := func(clients, times int) {
		var wg sync.WaitGroup
		for n := range clients {
			protocol := onlyHTTP1
			if n%2 == 0 {
				protocol = func(*http.Protocols) {}
			}
			client := i.client(t, protocol)
			wg.Go(func() { ask(client, times) })
		}
		wg.Wait()
	}
	load(14, 40) // 6 in flight, up to 8 wait
	if served.Load() != 14*40 || most.Load() != 2 {
		t.Errorf("%d of %d served, up to %d in flight with a replica", served.Load(), 14*40, most.Load())
	}
	load(60, 10)
	if refused.Load() == 0 || served.Load() < 14*40+16 || most.Load() != 2 {
		t.Errorf("of many more, %d are refused, %d served in all, up to %d in flight", refused.Load(), served.Load(), most.Load())
	}
}

// With a queue, a route takes more than its limit, and no more than that at a time.
func TestQueueOfRouteThroughListener(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	origin := originAt(t, func(http.ResponseWriter, *http.Request) {
		in := now.Add(1)
		for m := most.Load(); in > m && !most.CompareAndSwap(m, in); m = most.Load() {
		}
		time.Sleep(2 * time.Millisecond)
		now.Add(-1)
	})
	binders := Binders()
	for _, p := range label.Parse("test", func(o string) string { return o }, label.Values{"max-in-flight": "3", "max-in-flight.queue": "20"}, binders...) {
		t.Fatal(p)
	}
	i := serve(t, []*route.Route{with(at("a.test", origin), func(r *route.Route) { r.Middleware = binders })})
	var wg sync.WaitGroup
	for range 16 {
		client := i.client(t, onlyHTTP1)
		wg.Go(func() {
			for range 25 {
				if resp, _ := get(t, client, "https://a.test/"); resp.StatusCode != http.StatusOK {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() != 3 {
		t.Errorf("up to %d in flight, want 3", most.Load())
	}
}

// Tables with other replicas and other policies come and go under load; no request
// fails, no place is lost, and what waits goes on with the replicas that there are.
func TestSwapsUnderBalancing(t *testing.T) {
	t.Parallel()
	var origins []string
	for range 4 {
		origins = append(origins, originAt(t, func(http.ResponseWriter, *http.Request) {}))
	}
	policies := []label.Values{
		{"balance": "p2c", "replica.max-in-flight": "2", "replica.max-in-flight.queue": "1000"},
		{"balance": "hash", "sticky": "true", "slow-start": "10ms"},
		{"balance": "least-conn", "eject": "1", "breaker": "50%", "replica.max-in-flight": "1", "replica.max-in-flight.queue": "1000"},
		{"retry": "3", "retry.budget": "50%", "timeout.first-byte": "10s"},
	}
	routes := func(n int) []*route.Route {
		r := at("a.test", origins[n%3:n%3+1+n%2]...)
		r.Middleware = options(t, policies[n/3%len(policies)])
		return []*route.Route{r}
	}
	i := serve(t, routes(0))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var asked atomic.Int64
	for n := range 10 {
		client := i.client(t, onlyHTTP1)
		client.Jar, _ = cookiejar.New(nil)
		if n%2 == 0 {
			client = i.client(t)
		}
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if resp, _ := get(t, client, "https://a.test/"); resp.StatusCode != http.StatusOK {
					t.Errorf("status %d", resp.StatusCode)
				}
				asked.Add(1)
			}
		})
	}
	for n := range 400 {
		for before := asked.Load(); asked.Load() < before+2; {
			time.Sleep(50 * time.Microsecond)
		}
		i.SetTable(route.NewTable(routes(n), nil))
	}
	close(stop)
	wg.Wait()
	for _, n := range i.table.Load().sites {
		for _, m := range n.origin.members {
			// A client has its answer a moment before the place is given back.
			await(t, "nothing in flight after the end", func() bool { return m.InFlight() == 0 })
		}
		if n.origin.queue.Waiting() {
			t.Error("somebody still waits")
		}
	}
}
