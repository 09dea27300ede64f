package exchange

import "time"

// Detach gives an exchange with the same request, but for its body, which lives on by
// itself: it is not over when ex is, and not cancelled with it. What is known of the
// client (Conn, ClientIP, RouteName, the request's ID) is the same; Front is nil.
//
// Whoever detaches an exchange is its front: Finish and Put are called once its
// response is used up or given up.
func (ex *Exchange) Detach() *Exchange {
	d := Get()
	from, to := &ex.Request, &d.Request
	size := len(from.Method) + len(from.Authority) + len(from.Path) + len(from.Query)
	for _, f := range from.Fields.list {
		size += len(f.Name) + len(f.Value)
	}
	if cap(d.Memory) < size {
		d.Memory = make([]byte, 0, size+size/2) // with room for what others append
	}
	keep := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		begin := len(d.Memory)
		d.Memory = append(d.Memory, b...)
		return d.Memory[begin:len(d.Memory):len(d.Memory)]
	}
	to.Method, to.Authority, to.Path = keep(from.Method), keep(from.Authority), keep(from.Path)
	to.Query, to.HasQuery, to.TETrailers = keep(from.Query), from.HasQuery, from.TETrailers
	for _, f := range from.Fields.list {
		to.Fields.Add(keep(f.Name), keep(f.Value))
	}
	d.Conn, d.ClientIP, d.Scheme, d.RouteName, d.RouteID, d.Identified = ex.Conn, ex.ClientIP, ex.Scheme, ex.RouteName, ex.RouteID, ex.Identified
	d.Start = time.Now()
	ex.RequestID()
	d.id, d.hasID = ex.id, true
	return d
}
