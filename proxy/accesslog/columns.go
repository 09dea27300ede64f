package accesslog

import (
	"strconv"
	"strings"
	"time"

	"portway/internal/redact"
	"portway/proxy/exchange"
)

// column is one field of a line. It appends the value as it is, and says what it is.
type column struct {
	name  string
	value func(b []byte, l *line) ([]byte, kind)
}

// kind is how a value is to be written.
type kind int

const (
	text   kind = iota // to be quoted
	number             // as it is
	none               // there is none: the field is left out
)

// columns are all that can be chosen by name, in the order of the docs.
func columns(h redact.Names) []column {
	return []column{
		{"time", func(b []byte, l *line) ([]byte, kind) {
			return l.Exchange.Start.UTC().AppendFormat(b, time.RFC3339Nano), text
		}},
		{"request_id", func(b []byte, l *line) ([]byte, kind) { return l.Exchange.AppendRequestID(b), text }},
		{"client", func(b []byte, l *line) ([]byte, kind) {
			if !l.Exchange.ClientIP.IsValid() {
				return b, none
			}
			return l.Exchange.ClientIP.AppendTo(b), text
		}},
		{"method", func(b []byte, l *line) ([]byte, kind) { return append(b, l.Exchange.Request.Method...), text }},
		{"host", func(b []byte, l *line) ([]byte, kind) { return append(b, l.Exchange.Request.Authority...), text }},
		{"path", func(b []byte, l *line) ([]byte, kind) { return append(b, l.Exchange.Request.Path...), text }},
		{"query", func(b []byte, l *line) ([]byte, kind) {
			if !l.Exchange.Request.HasQuery {
				return b, none
			}
			return h.AppendQuery(b, l.Exchange.Request.Query), text
		}},
		{"protocol", func(b []byte, l *line) ([]byte, kind) { return append(b, l.protocol()...), text }},
		{"status", func(b []byte, l *line) ([]byte, kind) {
			return strconv.AppendInt(b, int64(l.Exchange.Response.Status), 10), number
		}},
		{"sent", func(b []byte, l *line) ([]byte, kind) { return strconv.AppendInt(b, l.Sent, 10), number }},
		{"duration_ms", func(b []byte, l *line) ([]byte, kind) { return appendMillis(b, l.Duration), number }},
		{"route", func(b []byte, l *line) ([]byte, kind) { return optional(b, l.Exchange.RouteName) }},
		{"upstream", func(b []byte, l *line) ([]byte, kind) { return optional(b, l.Exchange.Upstream) }},
		{"upstream_ms", func(b []byte, l *line) ([]byte, kind) {
			if l.Exchange.Upstream == "" {
				return b, none
			}
			return appendMillis(b, l.Exchange.UpstreamTime), number
		}},
		{"cache", func(b []byte, l *line) ([]byte, kind) {
			return optional(b, l.Exchange.Response.Fields.Get("cache-status"))
		}},
		{"user_agent", func(b []byte, l *line) ([]byte, kind) {
			return optional(b, l.Exchange.Request.Fields.Get("user-agent"))
		}},
		{"referer", func(b []byte, l *line) ([]byte, kind) {
			if referer := l.Exchange.Request.Fields.Get("referer"); len(referer) > 0 {
				return h.AppendURL(b, referer), text
			}
			return b, none
		}},
		{"traceparent", func(b []byte, l *line) ([]byte, kind) {
			return optional(b, l.Exchange.Request.Fields.Get("traceparent"))
		}},
		{"tls", func(b []byte, l *line) ([]byte, kind) {
			if l.Exchange.Conn == nil || l.Exchange.Conn.TLS == nil {
				return b, none
			}
			return append(b, tlsVersion(l.Exchange.Conn.TLS.Version)...), text
		}},
		{"error", func(b []byte, l *line) ([]byte, kind) {
			if l.Err == nil {
				return b, none
			}
			return append(b, l.Err.Error()...), text
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
	return column{header + field, func(b []byte, l *line) ([]byte, kind) {
		value := l.Exchange.Request.Fields.Get(name)
		switch {
		case value == nil:
			return b, none
		case h.Secret([]byte(name)):
			return append(b, redact.Value...), text
		case name == "referer":
			return h.AppendURL(b, value), text
		}
		return append(b, value...), text
	}}
}

func optional[T string | []byte](b []byte, value T) ([]byte, kind) {
	if len(value) == 0 {
		return b, none
	}
	return append(b, value...), text
}

func (l *line) protocol() string {
	if l.Exchange.Conn == nil {
		return exchange.Protocol(0).String()
	}
	return l.Exchange.Conn.Protocol.String()
}

// appendMillis appends milliseconds with three digits behind the point.
func appendMillis(b []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	b = strconv.AppendInt(b, us/1000, 10)
	return append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}
