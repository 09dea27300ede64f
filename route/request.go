package route

import "net/netip"

// Request is what Lookup decides by, as the client sent it. Lookup keeps none of
// it.
type Request struct {
	Host   []byte     // any case, perhaps with port and trailing dot; IPv6 addresses in brackets
	Path   []byte     // without query
	Query  []byte     // without "?"
	Method []byte     // case kept
	Client netip.Addr // the client as far as it can be trusted; the zero Addr: not known
	Fields Fields     // nil: none
	Places Places     // nil: nothing is known about countries, and routes that ask for one fit nobody
}

// Fields are the header fields of a request: *exchange.Fields, seen from here.
type Fields interface {
	// Find returns the value of the first line with that name (lower case) from
	// place from on, and the place behind it, which is -1 if there is none.
	Find(name string, from int) (value []byte, next int)
}

// Places tells where addresses are: *geo.Database, seen from here.
type Places interface {
	// Place returns the country of an address (ISO 3166-1 alpha-2, upper case) and
	// its continent (AF, AN, AS, EU, NA, OC or SA), each empty if it is not known. ok
	// is false while there is no database.
	Place(netip.Addr) (country, continent string, ok bool)
}

// look is a request while its route is looked for. What costs time is found out
// once at most. It has a copy of the request, since a pointer would, as far as the
// compiler can see, go to the heap with what patterns look at.
type look struct {
	Request
	host []byte // as the table has hosts

	agent              agentClass
	country, continent string
	placed, located    bool

	scratch *scratch
	table   *Table
}

// scratch is memory for what regular expressions look at: they keep it, as far
// as the compiler knows, so that it cannot be on the stack.
type scratch struct {
	host, text, value []byte
}

// memory returns the scratch memory of this look.
func (l *look) memory() *scratch {
	if l.scratch == nil {
		l.scratch = l.table.scratch.Get().(*scratch)
	}
	return l.scratch
}

// release gives the scratch memory back.
func (l *look) release() {
	const most = 64 << 10 // of what is kept
	if l.scratch != nil && cap(l.scratch.text)+cap(l.scratch.value) <= most {
		l.table.scratch.Put(l.scratch)
	}
}

// place finds out where the client is; ok is false if nobody can tell.
func (l *look) place() (ok bool) {
	if !l.placed {
		l.placed = true
		if l.Places != nil && l.Client.IsValid() {
			l.country, l.continent, l.located = l.Places.Place(l.Client)
		}
	}
	return l.located
}

// field returns the first line of a field.
func (l *look) field(name string) []byte {
	if l.Fields == nil {
		return nil
	}
	value, _ := l.Fields.Find(name, 0)
	return value
}
