package route_test

import (
	"fmt"
	"testing"

	"portway/route"
)

// largeTable has 10,000 hosts, half of them below wildcards, and a few of them
// with several paths.
func largeTable(t testing.TB) *route.Table {
	t.Helper()
	var routes []*route.Route
	for i := range 10_000 {
		host := fmt.Sprintf("site-%d.example.com", i)
		if i%2 == 1 {
			host = fmt.Sprintf("*.zone-%d.example.com", i)
		}
		routes = append(routes, site(t, host, "/", host))
		if i%10 == 0 {
			routes = append(routes, site(t, host+"/api", "/api", host), site(t, host+"/api/v2", "/api/v2", host))
		}
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
		if n := testing.AllocsPerRun(100, func() { table.Lookup(host, path) }); n != 0 {
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
				table.Lookup(host, path)
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
