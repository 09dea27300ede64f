package middleware

import (
	"bytes"
	"regexp"
	"strings"

	"portway/label"
	"portway/proxy/exchange"
)

// placeholder is something that is known of a request.
type placeholder struct {
	name   string
	append func(b []byte, ex *exchange.Exchange) []byte
	// whole gives it without a copy, valid as long as ex; nil: there is nothing to copy from.
	whole func(ex *exchange.Exchange) []byte
}

// placeholders are what {…} can stand for in values of fields.
var placeholders = []placeholder{
	{"client_ip", func(b []byte, ex *exchange.Exchange) []byte { return ex.AppendClientIP(b) }, (*exchange.Exchange).ClientIPText},
	{"host", func(b []byte, ex *exchange.Exchange) []byte {
		name, _ := splitPort(clientHost(ex))
		return append(b, name...)
	}, nil},
	{"method", func(b []byte, ex *exchange.Exchange) []byte { return append(b, ex.Request.Method...) }, nil},
	{"path", func(b []byte, ex *exchange.Exchange) []byte { return append(b, ex.Request.Path...) }, nil},
	{"query", func(b []byte, ex *exchange.Exchange) []byte { return append(b, ex.Request.Query...) }, nil},
	{"request_id", func(b []byte, ex *exchange.Exchange) []byte { return ex.AppendRequestID(b) }, (*exchange.Exchange).RequestIDText},
	{"route", func(b []byte, ex *exchange.Exchange) []byte { return append(b, ex.RouteName...) }, nil},
	{"scheme", func(b []byte, ex *exchange.Exchange) []byte { return append(b, ex.Scheme...) }, nil},
	{"uri", func(b []byte, ex *exchange.Exchange) []byte { return appendURI(b, &ex.Request) }, nil},
}

// template is a text with placeholders. It holds no functions, so that equal ones
// are equal for reflect.DeepEqual.
type template []piece

// piece is some text and then a placeholder.
type piece struct {
	text []byte
	then int // index in placeholders; -1: none
}

var placeholderRE = regexp.MustCompile(`\{([a-z_]+)\}`)

// parseTemplate reads text. A word in braces is a placeholder; braces around
// anything else, as in JSON, are text.
func parseTemplate(text string) (template, error) {
	var t template
	from := 0
	for _, m := range placeholderRE.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		i := findPlaceholder(name)
		if i < 0 {
			return nil, unknownPlaceholder(name)
		}
		t = append(t, piece{[]byte(text[from:m[0]]), i})
		from = m[1]
	}
	if from < len(text) || t == nil {
		t = append(t, piece{[]byte(text[from:]), -1})
	}
	return t, nil
}

func findPlaceholder(name string) int {
	for i, p := range placeholders {
		if p.name == name {
			return i
		}
	}
	return -1
}

func unknownPlaceholder(name string) error {
	var names []string
	for _, p := range placeholders {
		names = append(names, "{"+p.name+"}")
	}
	fix := "write one of " + strings.Join(names, ", ")
	if near := label.Nearest("{"+name+"}", names); near != "" {
		fix = "did you mean " + near + "?"
	}
	return &label.Error{Why: "{" + name + "} is no placeholder", Fix: fix}
}

// constant is the text if it is the same for all requests.
func (t template) constant() (text string, ok bool) {
	if len(t) == 1 && t[0].then < 0 {
		return string(t[0].text), true
	}
	return "", false
}

// value is the text for ex, valid as long as ex.
func (t template) value(ex *exchange.Exchange) []byte {
	if len(t) == 1 {
		p := &t[0]
		if p.then < 0 {
			return p.text
		}
		if whole := placeholders[p.then].whole; len(p.text) == 0 && whole != nil {
			return whole(ex)
		}
	}
	from := len(ex.Memory)
	for i := range t {
		ex.Memory = append(ex.Memory, t[i].text...)
		if t[i].then >= 0 {
			ex.Memory = placeholders[t[i].then].append(ex.Memory, ex)
		}
	}
	return taken(ex, from)
}

// clientHost is the host that the client asked for, perhaps with a port. The proxy
// has put it into X-Forwarded-Host, as trusted proxies in front of it report it,
// before any middleware runs.
func clientHost(ex *exchange.Exchange) []byte {
	if host := ex.Request.Fields.Get("x-forwarded-host"); len(host) > 0 {
		return host
	}
	return ex.Request.Authority
}

// splitPort cuts an authority before the colon of its port.
func splitPort(authority []byte) (name, port []byte) {
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && bytes.IndexByte(authority[i:], ']') < 0 {
		return authority[:i], authority[i:]
	}
	return authority, nil
}

// appendURI appends path and query.
func appendURI(b []byte, q *exchange.Request) []byte {
	b = append(b, q.Path...)
	if q.HasQuery {
		b = append(append(b, '?'), q.Query...)
	}
	return b
}
