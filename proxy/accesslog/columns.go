package accesslog

import (
	"strconv"
	"strings"
	"time"

	"portway/internal/redact"
	"portway/proxy/exchange"
	"portway/proxy/observe"
)

// column is one field of a line. It appends the value as it is, and tells whether there
// is one; if not, the field is left out.
type column struct {
	name  string
	kind  kind
	value func(b []byte, e observe.Event) (with []byte, there bool)
}

// kind is how a value is to be written.
type kind int

const (
	text   kind = iota // to be quoted, and escaped where needed
	plain              // to be quoted; there is nothing to be escaped in it
	number             // as it is
)

// columns are all that can be chosen by name, in the order of the docs.
func columns(h redact.Names) []column {
	started := &seconds{layout: "2006-01-02T15:04:05"}
	return []column{
		{"time", plain, func(b []byte, e observe.Event) ([]byte, bool) {
			start := e.Exchange.Start.UTC()
			return append(appendFraction(started.append(b, start), start.Nanosecond()), 'Z'), true
		}},
		{"request_id", plain, func(b []byte, e observe.Event) ([]byte, bool) { return e.Exchange.AppendRequestID(b), true }},
		{"client", plain, func(b []byte, e observe.Event) ([]byte, bool) {
			return e.Exchange.AppendClientIP(b), e.Exchange.ClientIP.IsValid()
		}},
		{"method", text, func(b []byte, e observe.Event) ([]byte, bool) { return append(b, e.Exchange.Request.Method...), true }},
		{"host", text, func(b []byte, e observe.Event) ([]byte, bool) {
			return append(b, e.Exchange.Request.Authority...), true
		}},
		{"path", text, func(b []byte, e observe.Event) ([]byte, bool) { return append(b, e.Exchange.Request.Path...), true }},
		{"query", text, func(b []byte, e observe.Event) ([]byte, bool) {
			if !e.Exchange.Request.HasQuery {
				return b, false
			}
			return h.AppendQuery(b, e.Exchange.Request.Query), true
		}},
		{"protocol", plain, func(b []byte, e observe.Event) ([]byte, bool) { return append(b, protocol(e.Exchange)...), true }},
		{"status", number, func(b []byte, e observe.Event) ([]byte, bool) {
			return strconv.AppendInt(b, int64(e.Exchange.Response.Status), 10), true
		}},
		{"sent", number, func(b []byte, e observe.Event) ([]byte, bool) { return strconv.AppendInt(b, e.Sent, 10), true }},
		{"duration_ms", number, func(b []byte, e observe.Event) ([]byte, bool) { return appendMillis(b, e.Duration), true }},
		{"route", text, func(b []byte, e observe.Event) ([]byte, bool) { return optional(b, e.Exchange.RouteName) }},
		{"upstream", text, func(b []byte, e observe.Event) ([]byte, bool) { return optional(b, e.Exchange.Upstream) }},
		{"upstream_ms", number, func(b []byte, e observe.Event) ([]byte, bool) {
			if e.Exchange.Upstream == "" {
				return b, false
			}
			return appendMillis(b, e.Exchange.UpstreamTime), true
		}},
		{"cache", text, func(b []byte, e observe.Event) ([]byte, bool) {
			return optional(b, e.Exchange.Response.Fields.Get("cache-status"))
		}},
		{"user_agent", text, func(b []byte, e observe.Event) ([]byte, bool) {
			return optional(b, e.Exchange.Request.Fields.Get("user-agent"))
		}},
		{"referer", text, func(b []byte, e observe.Event) ([]byte, bool) {
			if referer := e.Exchange.Request.Fields.Get("referer"); len(referer) > 0 {
				return h.AppendURL(b, referer), true
			}
			return b, false
		}},
		{"traceparent", text, func(b []byte, e observe.Event) ([]byte, bool) {
			return optional(b, e.Exchange.Request.Fields.Get("traceparent"))
		}},
		{"tls", plain, func(b []byte, e observe.Event) ([]byte, bool) {
			if e.Exchange.Conn == nil || e.Exchange.Conn.TLS == nil {
				return b, false
			}
			return append(b, tlsVersion(e.Exchange.Conn.TLS.Version)...), true
		}},
		{"error", text, func(b []byte, e observe.Event) ([]byte, bool) {
			if e.Err == nil {
				return b, false
			}
			return append(b, e.Err.Error()...), true
		}},
	}
}

// Fields names all fields that lines can have, besides header:Name.
func Fields() []string {
	var names []string
	for _, c := range columns(nil) {
		names = append(names, c.name)
	}
	return names
}

// Default names the fields of lines for which none are chosen.
func Default() []string {
	return []string{
		"time", "request_id", "client", "method", "host", "path", "query", "protocol", "status", "sent", "duration_ms",
		"route", "upstream", "upstream_ms", "cache", "user_agent", "error",
	}
}

func columnNamed(name string, h redact.Names) (column, bool) {
	for _, c := range columns(h) {
		if c.name == name {
			return c, true
		}
	}
	return column{}, false
}

// headerColumn is a field of requests.
func headerColumn(field string, h redact.Names) column {
	name := strings.ToLower(field)
	return column{header + field, text, func(b []byte, e observe.Event) ([]byte, bool) {
		value := e.Exchange.Request.Fields.Get(name)
		switch {
		case value == nil:
			return b, false
		case h.Secret([]byte(name)):
			return append(b, redact.Value...), true
		case name == "referer":
			return h.AppendURL(b, value), true
		}
		return append(b, value...), true
	}}
}

func optional[T string | []byte](b []byte, value T) ([]byte, bool) {
	return append(b, value...), len(value) > 0
}

func protocol(ex *exchange.Exchange) string {
	if ex.Conn == nil {
		return exchange.Protocol(0).String()
	}
	return ex.Conn.Protocol.String()
}

// appendMillis appends milliseconds with three digits behind the point.
func appendMillis(b []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	b = strconv.AppendInt(b, us/1000, 10)
	return append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}
