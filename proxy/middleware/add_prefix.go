package middleware

import (
	"net/http"

	"portway/label"
	"portway/proxy/exchange"
)

// addPrefix puts a path in front of requests' paths. Requests whose path may lead out
// of it again, by "..", are refused: browsers never send them.
type addPrefix struct {
	prefix string // decoded, without a slash at the end; empty: none
}

var _ Middleware = (*addPrefix)(nil)

// Labels binds add-prefix.
func (m *addPrefix) Labels(s *label.Set) {
	s.Func("add-prefix", "path",
		"Put this in front of the path: `/users` becomes `/v1/users`.",
		func(value string) (err error) {
			m.prefix, err = parsePrefix(value)
			return err
		}, label.Example("/v1"))
}

// Wrap changes paths, if there is a prefix.
func (m *addPrefix) Wrap(next exchange.Handler) exchange.Handler {
	if m.prefix == "" {
		return next
	}
	prefix := escapePath(m.prefix)
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		q := &ex.Request
		if climbs(q.Path) {
			refuseClimbing(ex)
			return
		}
		ex.Rewriting()
		asked, from := q.Path, len(ex.Memory)
		ex.Memory = append(append(ex.Memory, prefix...), asked...)
		q.Path = taken(ex, from)
		next.Serve(ex)
		q.Path = asked // what was asked for is what logs show
	})
}

func refuseClimbing(ex *exchange.Exchange) {
	refuse(ex, http.StatusBadRequest, "The address has a .. in its path.")
}
