package route_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unsafe"

	"portway/internal/routetest"
	"portway/route"
)

// largeTable has 10,000 hosts with 3 routes each, half of the hosts below wildcards.
func largeTable(t testing.TB) *route.Table {
	t.Helper()
	var routes []*route.Route
	for i := range 10_000 {
		host := fmt.Sprintf("site-%d.example.com", i)
		if i%2 == 1 {
			host = fmt.Sprintf("*.zone-%d.example.com", i)
		}
		routes = append(routes, site(t, host, "/", host), site(t, host+"/api", "/api", host), site(t, host+"/api/v2", "/api/v2", host))
	}
	return route.NewTable(routes, nil)
}

var lookups = []struct{ name, host, path, want string }{
	{"exact", "site-4242.example.com", "/some/where", "site-4242.example.com"},
	{"exact as sent", "Site-4242.Example.Com:443", "/some/where", "site-4242.example.com"},
	{"wildcard", "www.zone-4243.example.com", "/some/where", "*.zone-4243.example.com"},
	{"paths", "site-5000.example.com", "/api/v1/users", "site-5000.example.com/api"},
	{"escapes", "site-5000.example.com", "/api/v1/caf%C3%A9/../x%2Fy", "site-5000.example.com/api"},
	{"unknown", "www.example.org", "/", "unknown"},
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := largeTable(t)
	for _, l := range lookups {
		if got := lookup(table, l.host, l.path); got != l.want {
			t.Errorf("%s: %s%s goes to %s, want %s", l.name, l.host, l.path, got, l.want)
		}
		host, path := []byte(l.host), []byte(l.path)
		if n := testing.AllocsPerRun(100, func() { table.Lookup(&route.Request{Host: host, Path: path}) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", l.name, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	table := largeTable(b)
	for _, l := range lookups {
		b.Run(l.name, func(b *testing.B) {
			host, path := []byte(l.host), []byte(l.path)
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup(&route.Request{Host: host, Path: path})
			}
		})
	}
}

func BenchmarkNewTable(b *testing.B) {
	routes := largeTable(b).Routes()
	b.ReportAllocs()
	for b.Loop() {
		route.NewTable(routes, nil)
	}
}

// Criteria of all kinds cost no allocation either, whether they fit or not.
func TestCriteriaDoNotAllocate(t *testing.T) {
	asks := []ask{
		{host: "a.example", method: "GET", path: "/a/b", query: "z=1&q=x+y", fields: routetest.Fields{{"X-A", "1"}, {"Cookie", "a=b; c=12"}}},
		{host: "b.example", method: "GET", path: "/b", query: "q=%41+", fields: routetest.Fields{{"User-Agent", "Mozilla/5.0 (X11) Firefox"}}},
		{host: "b.example", method: "GET", path: "/caf%C3%A9/x", fields: routetest.Fields{{"User-Agent", "Googlebot"}}},
		{host: "abc.example.org", method: "GET", path: "/b/x", fields: routetest.Fields{{"Cookie", "c"}}},
	}
	for _, a := range asks {
		a.from = netip.MustParseAddr("2001:db8::1")
		q := a.request()
		q.Fields = oneField{q.Fields.(routetest.Fields)[0]}
		work := func() { oracleTable.Lookup(q) }
		work()
		if n := testing.AllocsPerRun(200, work); n != 0 && !raceDetector {
			t.Errorf("%+v: %v allocations, want 0", a, n)
		}
	}
}

// oneField finds without allocation, as an exchange's fields do.
type oneField struct{ field [2]string }

var _ route.Fields = oneField{}

func (f oneField) Find(name string, from int) ([]byte, int) {
	if from > 0 || !strings.EqualFold(f.field[0], name) {
		return nil, -1
	}
	return unsafe.Slice(unsafe.StringData(f.field[1]), len(f.field[1])), 1
}

func BenchmarkCriteria(b *testing.B) {
	a := ask{
		host: "b.example", method: "GET", path: "/b", query: "z=1&q=x+y", from: netip.MustParseAddr("2001:db8::1"),
		fields: routetest.Fields{{"User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"}},
	}
	q := a.request()
	q.Fields = oneField{a.fields[0]}
	b.ReportAllocs()
	for b.Loop() {
		oracleTable.Lookup(q)
	}
}
