package cache

import (
	"io"
	"net"

	"portway/proxy/exchange"
)

// adopted is the response of a fetch that is for one client only: it is read as it
// comes, and ends with that client.
type adopted struct {
	body     exchange.Body
	buffered exchange.Buffered // body, or nil
	splicer  exchange.Splicer  // body, or nil
	sub      *exchange.Exchange
	ex       *exchange.Exchange
}

var (
	_ exchange.Body     = (*adopted)(nil)
	_ exchange.Buffered = (*adopted)(nil)
	_ exchange.Splicer  = (*adopted)(nil)
	_ exchange.DoneFunc = (*adopted)(nil)
	_ exchange.Aborter  = (*adopted)(nil)
)

// adopt makes the response of sub that of ex, and sub end with ex.
func adopt(ex, sub *exchange.Exchange) {
	from, to := &sub.Response, &ex.Response
	to.Status, to.Length, to.Tunnel = from.Status, from.Length, from.Tunnel
	ex.Failure = sub.Failure
	for name, value := range from.Fields.All() {
		to.Fields.Add(name, value)
	}
	a := &adopted{sub: sub, ex: ex}
	if a.body = from.Body; a.body != nil {
		a.buffered, _ = a.body.(exchange.Buffered)
		a.splicer, _ = a.body.(exchange.Splicer)
		to.Body = a
	}
	ex.OnDone(a)
	ex.SetAborter(a)
}

func (a *adopted) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err == io.EOF && a.ex.Response.Trailers.Len() == 0 {
		for name, value := range a.sub.Response.Trailers.All() {
			a.ex.Response.Trailers.Add(name, value)
		}
	}
	return n, err
}

// Buffered tells how much is at hand.
func (a *adopted) Buffered() int {
	if a.buffered == nil {
		return 0
	}
	return a.buffered.Buffered()
}

// Splice has the kernel move content, where the body can do that.
func (a *adopted) Splice(dst *net.TCPConn, limit int64) (int64, bool, error) {
	if a.splicer == nil {
		return 0, false, nil
	}
	return a.splicer.Splice(dst, limit)
}

func (a *adopted) Close() error { return a.body.Close() }

// Abort interrupts the fetch, since nobody waits for it any more.
func (a *adopted) Abort(cause error) { a.sub.Cancel(cause) }

// Done ends the fetch with its client.
func (a *adopted) Done(ex *exchange.Exchange, sent int64, err error) {
	ex.SetAborter(nil)
	a.sub.Finish(sent, err)
	exchange.Put(a.sub)
}
