package proxy

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/balance"
	"portway/proxy/errorpage"
	"portway/proxy/exchange"
	"portway/proxy/origintls"
	"portway/route"
)

type wrapFunc func(next exchange.Handler) exchange.Handler

// Wrap notes how often it was called and puts the binder's name on the response.
func (b *binder) Wrap(next exchange.Handler) exchange.Handler {
	if b.wrap != nil {
		return b.wrap(next)
	}
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		next.Serve(ex)
		ex.Response.Fields.AddString("X-Chain", b.Name)
	})
}

// noWrap binds labels only.
type noWrap struct{}

func (noWrap) Labels(*label.Set) {}

// fakePool is a transport that answers by itself.
type fakePool struct {
	address string
	serve   func(ex *exchange.Exchange) error

	mu     sync.Mutex
	calls  int
	closed int
	swept  int
}

func (p *fakePool) RoundTrip(ex *exchange.Exchange) error {
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
	if p.serve != nil {
		return p.serve(ex)
	}
	ex.Response.Status = 200
	ex.Response.Fields.AddString("X-From", p.address)
	return nil
}

func (p *fakePool) Sweep(time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swept++
}

func (p *fakePool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed++
}

func (p *fakePool) counts() (calls, closed, swept int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls, p.closed, p.swept
}

// fakes is a Server without network. Its pools are by address.
type fakes struct {
	*Server
	pools map[string]*fakePool
	made  int
}

func newFakes(t *testing.T) *fakes {
	t.Helper()
	f := &fakes{pools: map[string]*fakePool{}}
	s, err := New(Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.replicas.dial = func(u route.Upstream, _ balance.Timeouts, _ origintls.Options) transport {
		f.made++
		p := f.pools[u.Address]
		if p == nil {
			p = &fakePool{address: u.Address}
			f.pools[u.Address] = p
		}
		return p
	}
	f.Server = s
	return f
}

// begin starts an exchange and leaves it open.
func (f *fakes) begin(method, host string) *exchange.Exchange {
	ex := exchange.Get()
	ex.Start = time.Now()
	ex.Conn = &exchange.Conn{Protocol: exchange.HTTP11}
	ex.Request.Method, ex.Request.Authority, ex.Request.Path = []byte(method), []byte(host), []byte("/")
	f.serve(ex)
	return ex
}

// ask is a whole exchange; it tells who answered, or the status if nobody did.
func (f *fakes) ask(host string) string {
	ex := f.begin("GET", host)
	defer exchange.Put(ex)
	defer ex.Finish(0, nil)
	if ex.Response.Status != 200 {
		return errorpage.Title(ex.Response.Status)
	}
	return string(ex.Response.Fields.Get("x-from"))
}

func (f *fakes) set(routes ...*route.Route) { f.SetTable(route.NewTable(routes, nil)) }

func TestPoolsOutliveTables(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.set(at("a.test", "one:80"), at("b.test", "one:80", "two:80"))
	if f.made != 2 {
		t.Errorf("%d pools made for 2 upstreams", f.made)
	}
	f.set(at("a.test", "one:80"), at("b.test", "one:80", "three:80"), at("c.test", "one:80"))
	if f.made != 3 {
		t.Errorf("%d pools made, want 3", f.made)
	}
	if _, closed, _ := f.pools["one:80"].counts(); closed != 0 {
		t.Error("a pool in use was closed")
	}
	if _, closed, _ := f.pools["two:80"].counts(); closed != 1 {
		t.Errorf("a pool out of use was closed %d times", closed)
	}
}

func TestMovedUpstreamIsAnother(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	moved := func(address string, scheme route.Scheme) *route.Route {
		return with(at("a.test", address), func(r *route.Route) {
			r.Upstreams[0].ID, r.Upstreams[0].Scheme = "container:1", scheme
		})
	}
	f.set(moved("one:80", route.HTTP))
	f.set(moved("two:80", route.HTTP))
	if got := f.ask("a.test"); got != "two:80" {
		t.Errorf("answer from %q", got)
	}
	f.set(moved("two:80", route.H2C))
	if f.made != 3 {
		t.Errorf("%d pools made, want 3: address and scheme are part of a replica", f.made)
	}
}

// A removed upstream keeps its connections until its last exchange is over.
func TestRemovedUpstreamDrains(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.set(at("a.test", "one:80"))
	ex := f.begin("GET", "a.test")
	f.set()
	one := f.pools["one:80"]
	if _, closed, _ := one.counts(); closed != 0 {
		t.Error("closed under a request in flight")
	}
	if list := f.replicas.all(nil); len(list) != 1 {
		t.Errorf("%d replicas are looked after, want the one that drains", len(list))
	}
	ex.Finish(0, nil)
	exchange.Put(ex)
	if _, closed, _ := one.counts(); closed != 1 {
		t.Errorf("closed %d times after the last exchange", closed)
	}
	if list := f.replicas.all(nil); len(list) != 0 || len(f.replicas.old) != 0 {
		t.Error("a drained replica is not forgotten")
	}
	if got := f.ask("a.test"); got != "Not found" {
		t.Errorf("got %q", got)
	}
}

// A request that began with the old table still finds somebody when all of that
// table's replicas have been replaced.
func TestRequestOfAnOldTable(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	replaced := false
	r := at("a.test", "one:80")
	r.Middleware = []label.Binder{&binder{wrap: func(next exchange.Handler) exchange.Handler {
		return exchange.HandlerFunc(func(ex *exchange.Exchange) {
			if !replaced {
				replaced = true
				n := at("a.test", "two:80")
				n.Middleware = []label.Binder{&binder{Name: "changed"}}
				f.set(n)
			}
			next.Serve(ex)
		})
	}}}
	f.set(r)
	if got := f.ask("a.test"); got != "two:80" {
		t.Errorf("got %q", got)
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	build := func(upstream, name string) *route.Route {
		r := at("a.test", upstream)
		r.Middleware = []label.Binder{&binder{Name: "outer"}, noWrap{}, &binder{Name: name}}
		return r
	}
	f.set(build("one:80", "inner"))
	ex := f.begin("GET", "a.test")
	var order []string
	for n, v := range ex.Response.Fields.All() {
		if string(n) == "X-Chain" {
			order = append(order, string(v))
		}
	}
	ex.Finish(0, nil)
	exchange.Put(ex)
	if !slices.Equal(order, []string{"inner", "outer"}) { // on the way back
		t.Errorf("order %q", order)
	}

	// A chain stays when only the replicas change, or nothing: what its middleware
	// have learnt must not be lost at each scaling.
	before := f.table.Load().sites[0]
	f.set(build("two:80", "inner"))
	after := f.table.Load().sites[0]
	if after.origin != before.origin {
		t.Error("the origin was made anew")
	}
	if got := f.ask("a.test"); got != "two:80" {
		t.Errorf("answer from %q", got)
	}
	f.set(build("two:80", "changed"))
	ex = f.begin("GET", "a.test")
	if got := string(ex.Response.Fields.Get("x-chain")); got != "changed" {
		t.Errorf("changed middleware is not used: %q", got)
	}
	ex.Finish(0, nil)
	exchange.Put(ex)
	if f.table.Load().sites[0].origin != before.origin {
		t.Error("the origin was made anew for other middleware")
	}
}

func TestWrapIsCalledOncePerRoute(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	build := func() *route.Route {
		r := at("a.test", "one:80")
		r.Middleware = []label.Binder{&counted{Setting: "x"}}
		return r
	}
	before := wraps.Load()
	f.set(build())
	f.set(build())
	f.set(build(), at("b.test", "two:80"))
	if n := wraps.Load() - before; n != 1 {
		t.Errorf("Wrap was called %d times for a route that stayed the same", n)
	}
}

// counted counts its Wraps outside of itself, where equality does not see them.
type counted struct{ Setting string }

var wraps atomic.Int32

func (*counted) Labels(*label.Set) {}

func (*counted) Wrap(next exchange.Handler) exchange.Handler {
	wraps.Add(1)
	return next
}
