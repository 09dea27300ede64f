package exchange

import (
	"net/netip"
	"testing"
)

// What Detach gives has nothing in common with the exchange that it comes from: that
// one is over, and its memory used for another request, while the other lives on.
func TestDetach(t *testing.T) {
	t.Parallel()
	memory := []byte("GET|a.test|/path|q=1|Foo|bar")
	ex := Get()
	q := &ex.Request
	q.Method, q.Authority, q.Path, q.Query, q.HasQuery = memory[0:3], memory[4:10], memory[11:16], memory[17:20], true
	q.Fields.Add(memory[21:24], memory[25:28])
	q.TETrailers = true
	ex.Conn, ex.RouteName, ex.ClientIP, ex.Scheme, ex.Identified = &Conn{}, "a", netip.MustParseAddr("192.0.2.1"), "https", true
	id := ex.RequestID()
	d := ex.Detach()
	ex.Cancel(ErrClientGone)
	ex.Finish(0, nil)
	Put(ex)
	clear(memory)

	q = &d.Request
	if string(q.Method) != "GET" || string(q.Authority) != "a.test" || string(q.Path) != "/path" || string(q.Query) != "q=1" ||
		!q.HasQuery || !q.TETrailers || string(q.Fields.Get("foo")) != "bar" || q.Fields.Len() != 1 {
		t.Errorf("the request is %+v", q)
	}
	if d.Canceled() != nil || d.RouteName != "a" || !d.ClientIP.IsValid() || d.Scheme != "https" || !d.Identified || d.RequestID() != id || d.Conn == nil {
		t.Errorf("the exchange is %+v", d)
	}
	d.Finish(0, nil)
	if Put(d); d.Identified || d.Scheme != "" {
		t.Error("a recycled exchange has a visitor")
	}
}
