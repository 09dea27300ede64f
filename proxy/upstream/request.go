package upstream

import (
	"fmt"
	"strconv"

	"portway/proxy/exchange"
	"portway/proxy/h1"
)

// appendRequest writes the head of an HTTP/1.1 request. Fronts have checked all
// of it; what middleware made of it is checked here once more, since one line
// break is a second request.
func appendRequest(b []byte, q *exchange.Request) ([]byte, error) {
	if err := validateTarget(q); err != nil {
		return b, err
	}
	b = append(b, q.Method...)
	b = append(b, ' ')
	b = append(b, q.Path...)
	if q.HasQuery {
		b = append(b, '?')
		b = append(b, q.Query...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, q.Authority...)
	b = append(b, "\r\n"...)
	b, err := appendFields(b, &q.Fields)
	if err != nil {
		return b, err
	}
	switch {
	case q.Length > 0, q.Length == 0 && announcesNothing(q.Method):
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, q.Length, 10)
		b = append(b, "\r\n"...)
	case q.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if q.TETrailers {
		b = append(b, "TE: trailers\r\n"...)
	}
	switch {
	case upgrades(q):
		b = append(b, "Upgrade: "...)
		b = append(b, q.Upgrade...)
		if q.TETrailers {
			b = append(b, "\r\nConnection: Upgrade, TE\r\n"...)
		} else {
			b = append(b, "\r\nConnection: Upgrade\r\n"...)
		}
	case q.TETrailers:
		b = append(b, "Connection: TE\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// appendFields appends fields that are in order.
func appendFields(b []byte, fields *exchange.Fields) ([]byte, error) {
	list := fields.List()
	for i := range list {
		f := &list[i]
		if l := f.Line(); l != nil {
			b = append(b, l.Text()...)
			continue
		}
		if start := f.Start(); start != nil && h1.ValidValue(f.Value) {
			b = append(b, start...)
		} else {
			if err := validField(f); err != nil {
				return b, err
			}
			b = append(b, f.Name...)
			b = append(b, ": "...)
		}
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return b, nil
}

// upgrades tells whether a change of protocol is asked for. One with a body is
// not passed on, as any recipient may choose (RFC 9110 section 7.8).
func upgrades(q *exchange.Request) bool { return len(q.Upgrade) > 0 && q.Length == 0 }

// announcesNothing tells whether a request with that method says so if it has no
// body, as RFC 9110 section 8.6 wants where the method usually has one.
func announcesNothing(method []byte) bool {
	switch string(method) {
	case "POST", "PUT", "PATCH":
		return true
	}
	return false
}

// safe tells whether a method only reads (RFC 9110 section 9.2.1), so that the
// request may be sent again.
func safe(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// validate refuses what would not be one message with one meaning.
func validate(q *exchange.Request) error {
	if err := validateTarget(q); err != nil {
		return err
	}
	return validFields(&q.Fields)
}

// validateTarget is validate for all but the fields.
func validateTarget(q *exchange.Request) error {
	switch {
	case !h1.ValidName(q.Method):
		return invalid("method %q is not a token", q.Method)
	case len(q.Path) == 0 || q.Path[0] != '/' && string(q.Path) != "*":
		return invalid("path %q does not begin with a slash", q.Path)
	case !visible(q.Path) || !visible(q.Query):
		return invalid("path or query has white space or control characters: %q", q.Path)
	case !visible(q.Authority):
		return invalid("host %q has white space or control characters", q.Authority)
	case !h1.ValidValue(q.Upgrade):
		return invalid("field %q has control characters in its value", "Upgrade")
	case q.Length != 0 && q.Body == nil:
		return invalid("a body of length %d is announced, but there is none", q.Length)
	}
	return nil
}

func validFields(fields *exchange.Fields) error {
	list := fields.List()
	for i := range list {
		if f := &list[i]; f.Line() == nil {
			if err := validField(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func validField(f *exchange.Field) error {
	switch {
	case !h1.ValidName(f.Name):
		return invalid("%q cannot be the name of a field", f.Name)
	case !h1.ValidValue(f.Value):
		// The value may be a secret.
		return invalid("field %q has control characters in its value", f.Name)
	case hopByHop(f.Name):
		return invalid("field %q belongs to the connection and cannot be set", f.Name)
	}
	return nil
}

// hopByHop tells whether a field concerns framing or the connection, and so is
// for this package alone to send.
func hopByHop(name []byte) bool {
	return exchange.OfConnection(name) || exchange.EqualFold(name, "host") || exchange.EqualFold(name, "expect")
}

// visible tells whether b is free of white space and control characters.
func visible(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func invalid(format string, args ...any) error {
	return fail(fmt.Sprintf(format, args...), ErrInvalid)
}
