package middleware

import (
	"bytes"

	"portway/label"
	"portway/proxy/exchange"
)

// stripPrefix takes a path off the front of requests' paths, and tells the origin by
// X-Forwarded-Prefix, as others do. A path that does not begin with it passes as it
// is.
type stripPrefix struct {
	prefix string // decoded, without a slash at the end; empty: none
}

var _ Middleware = (*stripPrefix)(nil)

// Labels binds strip-prefix.
func (m *stripPrefix) Labels(s *label.Set) {
	s.Func("strip-prefix", "path",
		"Take this off the front of the path: `/api/users` becomes `/users`. The application is told by X-Forwarded-Prefix.",
		func(value string) (err error) {
			m.prefix, err = parsePrefix(value)
			return err
		}, label.Example("/api"))
}

var nameForwardedPrefix = []byte("X-Forwarded-Prefix")

// Wrap changes paths, if there is a prefix.
func (m *stripPrefix) Wrap(next exchange.Handler) exchange.Handler {
	if m.prefix == "" {
		return next
	}
	prefix, sent := m.prefix, escapePath(m.prefix)
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		q := &ex.Request
		rest, ok := cutPrefix(q.Path, prefix)
		if !ok {
			next.Serve(ex)
			return
		}
		ex.Rewriting()
		asked := q.Path
		if q.Path = root; len(rest) > 0 {
			q.Path = oneSlash(ex, rest)
		}
		forwarded := sent
		// A trusted proxy in front may have taken something off too.
		if before := q.Fields.Get("x-forwarded-prefix"); len(before) > 1 && before[0] == '/' && before[1] != '/' {
			from := len(ex.Memory)
			ex.Memory = append(append(ex.Memory, bytes.TrimRight(before, "/")...), sent...)
			forwarded = taken(ex, from)
		}
		remove(&q.Fields, "x-forwarded-prefix")
		q.Fields.Add(nameForwardedPrefix, forwarded)
		next.Serve(ex)
		q.Path = asked // what was asked for is what logs show
	})
}
