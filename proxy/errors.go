package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"portway/proxy/exchange"
)

// page is an answer of our own that tells a visitor what is wrong. It holds
// nothing about the inside: no addresses, no names of containers, no version.
type page struct {
	status int
	title  string        // empty: by status
	why    string        // one sentence
	retry  time.Duration // when to come back, for Retry-After; 0: not said
}

var titles = map[int]string{
	http.StatusBadRequest:          "Bad request",
	http.StatusNotFound:            "Not found",
	http.StatusRequestTimeout:      "Request too slow",
	http.StatusMisdirectedRequest:  "Wrong connection",
	http.StatusInternalServerError: "Internal error",
	http.StatusNotImplemented:      "Not supported",
	http.StatusBadGateway:          "Site not reachable",
	http.StatusServiceUnavailable:  "Site not available",
	http.StatusGatewayTimeout:      "Site too slow",
}

// fail answers ex with p, in the format that the client prefers, and logs it
// with the same request ID. cause is for the log only.
func (s *Server) fail(ex *exchange.Exchange, p page, cause error) {
	if p.title == "" {
		p.title = titles[p.status]
	}
	level := slog.LevelInfo
	if p.status >= 500 {
		level = slog.LevelWarn
	}
	if s.logger.Enabled(context.Background(), level) {
		attrs := append(attributes(ex), slog.Int("status", p.status), slog.String("told", p.why))
		if cause != nil {
			attrs = append(attrs, slog.Any("error", cause))
		}
		s.logger.LogAttrs(context.Background(), level, "request failed", attrs...)
	}

	resetResponse(ex)
	r := &ex.Response
	kind, body := p.render(preferred(ex.Request.Fields.Get("accept")), ex.RequestID())
	r.Status = p.status
	r.Fields.AddString("Content-Type", kind)
	r.Fields.AddString("Cache-Control", "no-store")
	r.Fields.AddString("X-Content-Type-Options", "nosniff")
	r.Fields.AddString("X-Request-Id", ex.RequestID())
	if p.retry > 0 {
		seconds := max((p.retry+time.Second-1)/time.Second, 1)
		r.Fields.AddString("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	r.Length = int64(len(body))
	r.Body = exchange.BytesBody([]byte(body))
}

// attributes are what log lines say about an exchange. There is no query: it may
// hold secrets.
func attributes(ex *exchange.Exchange) []slog.Attr {
	q := &ex.Request
	a := []slog.Attr{
		slog.String("request_id", ex.RequestID()),
		slog.String("client", ex.ClientIP.String()),
		slog.String("method", string(q.Method)),
		slog.String("host", string(q.Authority)),
		slog.String("path", string(q.Path)),
	}
	if ex.RouteName != "" {
		a = append(a, slog.String("route", ex.RouteName))
	}
	return a
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
func (p *page) render(f format, id string) (kind, content string) {
	switch f {
	case asJSON:
		b, _ := json.MarshalIndent(struct { // cannot fail: strings and a number
			Status    int    `json:"status"`
			Title     string `json:"title"`
			Detail    string `json:"detail"`
			RequestID string `json:"request_id"`
		}{p.status, p.title, p.why, id}, "", "  ")
		return "application/json", string(b) + "\n"
	case asHTML:
		return "text/html; charset=utf-8", fmt.Sprintf(htmlPage,
			html.EscapeString(p.title), p.status, html.EscapeString(p.title), html.EscapeString(p.why), id)
	}
	return "text/plain; charset=utf-8", fmt.Sprintf("%d %s\n%s\nRequest ID: %s\n", p.status, p.title, p.why, id)
}

const htmlPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>%s</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 18vh auto 0; padding: 0 1.5rem }
h1 { font-size: 1.5rem; margin: 0 0 .5rem }
small { opacity: .6 }
</style>
</head>
<body>
<small>%d</small>
<h1>%s</h1>
<p>%s</p>
<small>Request ID: <code>%s</code></small>
</body>
</html>
`

// text is what a client sent, fit to be shown to people.
func text(b []byte) string {
	const longest = 100
	var s strings.Builder
	for i, c := range b {
		if i == longest {
			s.WriteString("...")
			break
		}
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		s.WriteByte(c)
	}
	if s.Len() == 0 {
		return "(no name)"
	}
	return s.String()
}
