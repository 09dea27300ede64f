package exchange

// Asked is what a client asked for.
type Asked struct {
	Authority, Path, Query []byte // as in Request
	HasQuery               bool
}

// Rewriting is called before Authority, Path or Query of the request are changed for an
// origin, so that pages and logs can go on telling what was asked for.
func (ex *Exchange) Rewriting() {
	if q := &ex.Request; ex.asked.Path == nil {
		ex.asked = Asked{q.Authority, q.Path, q.Query, q.HasQuery}
	}
}

// Asked is what the client asked for, whatever the origin is asked.
func (ex *Exchange) Asked() Asked {
	if q := &ex.Request; ex.asked.Path == nil {
		return Asked{q.Authority, q.Path, q.Query, q.HasQuery}
	}
	return ex.asked
}
