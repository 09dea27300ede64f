// Package errorpage writes the answers by which Portway itself tells a visitor what
// is wrong, in the format that the visitor's program prefers: HTML, JSON or plain
// text. They hold nothing about the inside, no addresses, no names of containers, no
// version, but for what Inside says, which is for the owner.
package errorpage

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"

	"portway/proxy/exchange"
)

// Page is what a visitor is told.
type Page struct {
	Status int
	Title  string        // some words; empty: by Status
	Why    string        // one sentence
	Retry  time.Duration // when to come back, for Retry-After; 0: not said
	Inside Inside        // nothing: for visitors
}

// Inside is what only the owner is told.
type Inside struct {
	Reason string // may be empty
	Ask    string // what to type to learn more; empty: there is nothing inside
	Link   string // of a page that tells more; may be empty
	Signed bool   // the owner is known by having signed in, not by being at this machine
}

var titles = map[int]string{
	http.StatusBadRequest:            "Bad request",
	http.StatusUnauthorized:          "Sign in",
	http.StatusForbidden:             "No access",
	http.StatusNotFound:              "Not found",
	http.StatusRequestTimeout:        "Request too slow",
	http.StatusRequestEntityTooLarge: "Too large",
	http.StatusMisdirectedRequest:    "Wrong connection",
	http.StatusTooManyRequests:       "Too many requests",
	http.StatusInternalServerError:   "Internal error",
	http.StatusNotImplemented:        "Not supported",
	http.StatusBadGateway:            "Site not reachable",
	http.StatusServiceUnavailable:    "Site not available",
	http.StatusGatewayTimeout:        "Site too slow",
}

// Title is the title of a page with that status, if it has none of its own.
func Title(status int) string {
	if t := titles[status]; t != "" {
		return t
	}
	return http.StatusText(status)
}

// Answer puts p in place of what ex.Response holds.
func (p Page) Answer(ex *exchange.Exchange) {
	if p.Title == "" {
		p.Title = Title(p.Status)
	}
	r := &ex.Response
	r.Clear()
	id := ex.RequestID()
	kind, body := p.render(preferred(ex.Request.Fields.Get("accept")), id)
	r.Status = p.Status
	r.Fields.AddString("Content-Type", kind)
	r.Fields.AddString("Cache-Control", "no-store")
	r.Fields.AddString("X-Content-Type-Options", "nosniff")
	r.Fields.AddString("X-Request-Id", id)
	if p.Retry > 0 {
		seconds := max((p.Retry+time.Second-1)/time.Second, 1)
		r.Fields.AddString("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	r.Length = int64(len(body))
	r.Body = exchange.BytesBody([]byte(body))
}

// format is what a page is written in.
type format uint8

const (
	plainText format = iota
	asHTML
	asJSON
)

// preferred reads Accept (RFC 9110 section 12.5.1). Only a client that names HTML
// or JSON gets it; all others get plain text.
func preferred(accept []byte) format {
	best, bestQ := plainText, 0.0
	for r := range strings.SplitSeq(string(accept), ",") {
		kind, params, _ := strings.Cut(r, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
		f := plainText
		switch {
		case kind == "text/html", kind == "application/xhtml+xml":
			f = asHTML
		case kind == "application/json", strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"):
			f = asJSON
		case kind != "text/plain":
			continue
		}
		if q := quality(params); q > bestQ {
			best, bestQ = f, q
		}
	}
	return best
}

// quality is the weight among the parameters of a media range.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || q < 0 || q > 1 {
				return 0
			}
			return q
		}
	}
	return 1
}

// render gives the page's media type and content.
func (p *Page) render(f format, id string) (kind, content string) {
	switch f {
	case asJSON:
		b, _ := json.MarshalIndent(struct { // cannot fail: strings and a number
			Status    int    `json:"status"`
			Title     string `json:"title"`
			Detail    string `json:"detail"`
			RequestID string `json:"request_id"`
			Reason    string `json:"reason,omitempty"`
			Ask       string `json:"ask,omitempty"`
			Explain   string `json:"explain,omitempty"`
		}{p.Status, p.Title, p.Why, id, p.Inside.Reason, p.Inside.Ask, p.Inside.Link}, "", "  ")
		return "application/json", string(b) + "\n"
	case asHTML:
		return "text/html; charset=utf-8", fmt.Sprintf(htmlPage,
			html.EscapeString(p.Title), p.Status, html.EscapeString(p.Title), html.EscapeString(p.Why), p.Inside.html(), id)
	}
	return "text/plain; charset=utf-8", fmt.Sprintf("%d %s\n%s\n%sRequest ID: %s\n", p.Status, p.Title, p.Why, p.Inside.text(), id)
}

// seen tells the owner why others do not see this.
func (i *Inside) seen() string {
	if i.Signed {
		return "Only shown to you, since you have signed in to the dashboard."
	}
	return "Only shown to this machine itself."
}

func (i *Inside) html() string {
	if i.Ask == "" {
		return ""
	}
	var b strings.Builder
	if i.Reason != "" {
		fmt.Fprintf(&b, "<p>%s</p>\n", html.EscapeString(i.Reason))
	}
	if i.Link != "" {
		fmt.Fprintf(&b, "<p><a href=\"%s\" rel=\"noreferrer\">Explain this on the dashboard</a></p>\n", html.EscapeString(i.Link))
	}
	fmt.Fprintf(&b, "<p><code>%s</code></p>\n<p><small>%s</small></p>\n", html.EscapeString(i.Ask), i.seen())
	return b.String()
}

func (i *Inside) text() string {
	if i.Ask == "" {
		return ""
	}
	var b strings.Builder
	if i.Reason != "" {
		fmt.Fprintf(&b, "Why: %s\n", i.Reason)
	}
	fmt.Fprintf(&b, "To learn more: %s\n", i.Ask)
	if i.Link != "" {
		fmt.Fprintf(&b, "On the dashboard: %s\n", i.Link)
	}
	fmt.Fprintf(&b, "(%s)\n", i.seen())
	return b.String()
}

const htmlPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>%s</title>
<style>
:root { color-scheme: light dark; background: Canvas; color: CanvasText }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 18vh auto 0; padding: 0 1.5rem }
code { overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: 0 0 .5rem }
small { opacity: .6 }
</style>
</head>
<body>
<main>
<small>%d</small>
<h1>%s</h1>
<p>%s</p>
%s<small>Request ID: <code>%s</code></small>
</main>
</body>
</html>
`
