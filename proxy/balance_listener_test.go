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
