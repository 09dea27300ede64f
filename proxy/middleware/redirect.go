package middleware

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"portway/label"
	"portway/proxy/exchange"
)

// redirect sends clients elsewhere: to the one host that a site wants to be known by,
// or by rules for paths, the first of which that fits counts.
type redirect struct {
	host   string
	rules  []rule
	status int
}

var _ Middleware = (*redirect)(nil)

// Labels binds redirect-host, redirect, and their detail.
func (m *redirect) Labels(s *label.Set) {
	s.Func("redirect-host", "host",
		"Send visitors who ask for another host of this route to this one, for example from www.example.com to example.com.",
		func(value string) error {
			host, err := idna.Lookup.ToASCII(strings.ToLower(value))
			if err != nil || !validAuthority(host) || strings.Contains(host, ":") {
				return &label.Error{Why: label.Quote(value) + " is no host name", Fix: "write it alone, without https://, port or path"}
			}
			m.host = host
			return nil
		}, label.Example("example.com"))
	s.Func("redirect", rulesType,
		"Send visitors elsewhere: a regular expression for the whole path, a space, and a path or address, "+
			"in which `$1` is what the first parentheses fit. The first rule that fits counts.",
		func(value string) (err error) {
			m.rules, err = parseRules(value, checkTarget)
			return err
		}, label.Example("/old/(.*) https://new.example.com/$1"), label.Lines())
	m.status = http.StatusTemporaryRedirect
	s.Func("redirect.status", "301, 302, 303, 307 or 308",
		"301 and 308 are for ever: browsers do not ask again. 307 and 308 keep the method of a request.",
		func(value string) error {
			status, err := strconv.Atoi(value)
			if err != nil || !slices.Contains([]int{301, 302, 303, 307, 308}, status) {
				return &label.Error{Why: label.Quote(value) + " is no status of a redirect", Fix: "write 301, 302, 303, 307 or 308"}
			}
			m.status = status
			return nil
		}, label.Needs("redirect", "redirect-host"), label.Default("307"), label.Example("308"))
}

// checkTarget makes sure that a client cannot choose the host that it, or whoever it
// gives a link to, is sent to.
func checkTarget(r *rule) *label.Error {
	first := r.text[0].text
	if strings.HasPrefix(first, "/") && !strings.HasPrefix(first, "//") {
		return nil
	}
	_, rest, ok := strings.Cut(first, "://")
	if !ok || !strings.HasPrefix(first, "https://") && !strings.HasPrefix(first, "http://") {
		return &label.Error{Why: "is neither a path nor an address", Fix: "write it like /new/$1 or https://new.example.com/$1"}
	}
	host, _, slash := strings.Cut(rest, "/")
	if !slash && len(r.text) == 1 && r.text[0].group == 0 {
		host, _, _ = strings.Cut(host, "?")
		slash = true
	}
	switch {
	case !slash:
		return &label.Error{Why: "lets visitors choose a part of the host that they are sent to", Fix: "write a / behind the host, for example https://new.example.com/$1"}
	case !validAuthority(host):
		return &label.Error{Why: "has no host behind ://", Fix: "write it like https://new.example.com/$1"}
	}
	return nil
}

// Wrap sends clients elsewhere, if that is asked for.
func (m *redirect) Wrap(next exchange.Handler) exchange.Handler {
	if m.host == "" && len(m.rules) == 0 {
		return next
	}
	return &redirector{next: next, host: m.host, rules: m.rules, status: m.status}
}

type redirector struct {
	next   exchange.Handler
	host   string
	rules  []rule
	status int
}

var _ exchange.Handler = (*redirector)(nil)

// Serve looks at the rules with the host that was asked for, so that a visitor is sent
// on at most twice.
func (h *redirector) Serve(ex *exchange.Exchange) {
	for i := range h.rules {
		from := len(ex.Memory)
		result, ok := h.rules[i].replace(ex.Memory, ex.Request.Path)
		if ok {
			ex.Memory = result
			h.send(ex, h.target(ex, taken(ex, from)))
			return
		}
	}
	if h.host != "" {
		if name, port := splitPort(clientHost(ex)); !exchange.EqualFold(bytes.TrimSuffix(name, []byte(".")), h.host) {
			from := len(ex.Memory)
			b := append(append(ex.Memory, ex.Scheme...), "://"...)
			b = append(append(b, h.host...), port...)
			ex.Memory = appendURI(b, &ex.Request)
			h.send(ex, taken(ex, from))
			return
		}
	}
	h.next.Serve(ex)
}

// target adds the request's query to where a rule leads.
func (h *redirector) target(ex *exchange.Exchange, to []byte) []byte {
	if to[0] == '/' {
		to = oneSlash(ex, to)
	}
	query := ex.Request.Query
	if len(query) == 0 {
		return to
	}
	place, fragment, hasFragment := bytes.Cut(to, []byte("#"))
	between := byte('?')
	if bytes.IndexByte(place, '?') >= 0 {
		between = '&'
	}
	from := len(ex.Memory)
	ex.Memory = append(append(append(ex.Memory, place...), between), query...)
	if hasFragment {
		ex.Memory = append(append(ex.Memory, '#'), fragment...)
	}
	return taken(ex, from)
}

func (h *redirector) send(ex *exchange.Exchange, to []byte) {
	answer(ex, h.status, "", nil)
	ex.Response.Fields.Add(nameLocation, to)
}
