package metrics

import (
	"sync/atomic"

	"portway/proxy/exchange"
)

// index finds counters by name. It is not changed.
type index[T any] struct {
	all map[string]*T
	// quick has most of them at a place that their name leads to, so that hardly any is
	// looked for in all: a name that is found has nearly always the same memory as the
	// one that it is compared with, which takes no time.
	quick [32]named[T]
}

type named[T any] struct {
	name  string
	stats *T // nil: none
}

func newIndex[T any](all map[string]*T) *index[T] {
	x := &index[T]{all: all}
	for name, stats := range all {
		if p := &x.quick[placeOf(name)]; p.stats == nil {
			*p = named[T]{name, stats}
		}
	}
	return x
}

func placeOf(name string) int {
	n := len(name)
	if n == 0 {
		return 0
	}
	return (n + 5*int(name[n/2]) + 11*int(name[n-1])) & 31
}

// of gives the counters of name; nil if there are none, or no index.
func (x *index[T]) of(name string) *T {
	if x == nil {
		return nil
	}
	if p := &x.quick[placeOf(name)]; p.stats != nil && p.name == name {
		return p.stats
	}
	return x.all[name]
}

// cacheLine is what processors exchange at once.
const cacheLine = 64

// inFlight counts requests that are being answered, by exchange.Protocol. They are
// counted in several places, so that processors seldom have to agree on one.
type inFlight [16]struct {
	n [exchange.HTTP3 + 1]atomic.Int64
	_ [cacheLine]byte
}

func (f *inFlight) add(ex *exchange.Exchange, n int64) {
	place := ex.Place() % uintptr(len(f))
	f[place].n[protocol(ex)].Add(n)
}

func (f *inFlight) of(p exchange.Protocol) (n int64) {
	for i := range f {
		n += f[i].n[p].Load()
	}
	return n
}

func protocol(ex *exchange.Exchange) exchange.Protocol {
	if ex.Conn == nil || ex.Conn.Protocol > exchange.HTTP3 {
		return 0
	}
	return ex.Conn.Protocol
}
