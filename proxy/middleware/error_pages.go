package middleware

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"portway/internal/redact"
	"portway/label"
	"portway/proxy/errorpage"
	"portway/proxy/exchange"
)

// errorPages shows pages of the user's own in place of what the application, Portway or
// another middleware says when something is wrong. The status stays, and so do fields
// that are not about the content. Where there is no page for a status that the client
// can read, or none can be had, the answer stays as it is.
type errorPages struct {
	from     string // a directory or an address; empty: not given
	statuses []statusRange
}

// statusRange has both ends in it.
type statusRange struct{ first, last int }

var _ Middleware = (*errorPages)(nil)

// statusWord is what stands for the status in addresses and pages.
const statusWord = "{status}"

// Labels binds error-pages and its detail.
func (m *errorPages) Labels(s *label.Set) {
	s.Func("error-pages", "directory or URL",
		"Show these pages instead of errors: a directory in which Portway finds `404.html`, `5xx.html` and the like, "+
			"or a service that has them, where `"+statusWord+"` in the address stands for the status.",
		func(value string) error {
			m.from = value
			switch {
			case strings.HasPrefix(value, "/"):
				return checkPages(value)
			case !strings.Contains(value, "://"):
				return &label.Error{Why: label.Quote(redact.URL(value)) + " is neither a directory nor an address", Fix: "write for example /etc/portway/pages or http://errors/" + statusWord + ".html"}
			}
			return checkService(strings.ReplaceAll(value, statusWord, "404"))
		}, label.Example("/etc/portway/pages"), label.Shown(redact.URL))
	m.statuses = []statusRange{{400, 599}}
	first := true
	s.Each("error-pages.status", "Which errors are replaced: statuses, ranges such as `500-504`, or `5xx`.", func(item string) error {
		if first {
			first, m.statuses = false, nil
		}
		r, err := parseStatuses(item)
		m.statuses = append(m.statuses, r)
		return err
	}, label.Needs("error-pages"), label.Default("400-599"), label.Example("404, 5xx"))
}

func parseStatuses(item string) (statusRange, error) {
	from, to, isRange := strings.Cut(item, "-")
	if class, ok := strings.CutSuffix(strings.ToLower(item), "xx"); ok {
		from, to, isRange = class+"00", class+"99", true
	}
	if !isRange {
		to = from
	}
	first, err := strconv.Atoi(strings.TrimSpace(from))
	last, err2 := strconv.Atoi(strings.TrimSpace(to))
	if err != nil || err2 != nil || first < 400 || last > 599 || first > last {
		return statusRange{}, &label.Error{Why: label.Quote(item) + " is no status of an error", Fix: "write for example 404, 500-504 or 5xx"}
	}
	return statusRange{first, last}, nil
}

// Wrap replaces errors, if there are pages.
func (m *errorPages) Wrap(next exchange.Handler) exchange.Handler {
	if m.from == "" {
		return next
	}
	h := &replacer{next: next, statuses: m.statuses}
	if strings.HasPrefix(m.from, "/") {
		h.pages = &pageFolder{path: m.from}
	} else {
		h.pages = &pageService{newService(pageLimit), m.from}
	}
	return h
}

// pageLimit is how long a visitor waits for a nicer page than the one there is.
const pageLimit = 3 * time.Second

// maxPage bounds a page, in bytes.
const maxPage = 1 << 20

// page is content for an error.
type page struct {
	kind     string // Content-Type
	language string // Content-Language; may be empty
	content  []byte
}

// pages is where pages come from. find gives nil if there is none that fits.
type pages interface {
	find(ex *exchange.Exchange, status int) (*page, error)
}

// replacer is errorPages at work.
type replacer struct {
	next     exchange.Handler
	statuses []statusRange
	pages    pages
}

var _ exchange.Handler = (*replacer)(nil)

// Serve replaces the answer of next if it is an error.
func (h *replacer) Serve(ex *exchange.Exchange) {
	h.next.Serve(ex)
	p := &ex.Response
	if p.Status < 400 || !h.replaces(p.Status) || p.Tunnel != nil || isGRPC(ex.Request.Fields.Get("content-type")) {
		return
	}
	if _, ok := p.Body.(*denial); ok {
		return
	}
	page, err := h.pages.find(ex, p.Status)
	if err != nil && ex.Canceled() == nil && ex.Failure == nil {
		ex.Failure = fmt.Errorf("error-pages: %w", err)
	}
	if page != nil {
		page.replace(ex)
	}
}

func (h *replacer) replaces(status int) bool {
	return slices.ContainsFunc(h.statuses, func(r statusRange) bool { return r.first <= status && status <= r.last })
}

// replace puts the page in place of the response's content.
func (g *page) replace(ex *exchange.Exchange) {
	p := &ex.Response
	if p.Body != nil {
		_ = p.Body.Close()
	}
	p.Body = nil
	p.Trailers.Reset()
	p.Fields.DelFunc(aboutContent)
	p.Fields.AddString("Content-Type", g.kind)
	if g.language != "" {
		p.Fields.AddString("Content-Language", g.language)
	}
	addVary(&p.Fields, "accept", lineVaryAccept)
	p.Length = int64(len(g.content))
	if string(ex.Request.Method) != http.MethodHead && len(g.content) > 0 {
		p.Body = exchange.BytesBody(g.content)
	}
}

var lineVaryAccept = exchange.NewLine("Vary", "Accept")

// aboutContent tells whether a field is about the very content of a message.
func aboutContent(name, _ []byte) bool {
	return slices.ContainsFunc([]string{
		"content-type", "content-encoding", "content-language", "content-location", "content-disposition", "content-range",
		"content-md5", "content-digest", "repr-digest", "digest", "etag", "last-modified", "accept-ranges",
	}, func(n string) bool { return exchange.EqualFold(name, n) })
}

// fill puts what is known of the answer into a page.
func fill(content []byte, ex *exchange.Exchange, status int) []byte {
	return []byte(strings.NewReplacer(
		statusWord, strconv.Itoa(status), "{title}", errorpage.Title(status), "{request_id}", ex.RequestID(),
	).Replace(string(content)))
}
