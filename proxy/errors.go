package proxy

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"portway/proxy/errorpage"
	"portway/proxy/exchange"
)

// page is an answer of our own that tells a visitor what is wrong: see errorpage.Page.
type page struct {
	status int
	title  string        // empty: by status
	why    string        // one sentence
	retry  time.Duration // when to come back, for Retry-After; 0: not said
}

// fail answers ex with p, in the format that the client prefers, and logs it
// with the same request ID. cause is for the log only.
func (s *Server) fail(ex *exchange.Exchange, p page, cause error) {
	s.logFailure(ex, p.status, p.why, cause)
	errorpage.Page{Status: p.status, Title: p.title, Why: p.why, Retry: p.retry, Inside: s.inside(ex, p.status, cause)}.Answer(ex)
}

// logFailure says why ex is not answered as it should be, and what its client is told
// instead.
func (s *Server) logFailure(ex *exchange.Exchange, status int, told string, cause error) {
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelWarn
	}
	if m, is := ex.Front.(*mirror); is { // no client is told anything, and there may be many
		m.failed(cause)
		level = slog.LevelDebug
	} else if s.cfg.Failed != nil {
		s.cfg.Failed(failure(ex, status, told, cause))
	}
	if !s.logger.Enabled(context.Background(), level) {
		return
	}
	attrs := append(attributes(ex), slog.Int("status", status))
	if told != "" {
		attrs = append(attrs, slog.String("told", told))
	}
	if cause != nil {
		attrs = append(attrs, slog.Any("error", cause))
	}
	s.logger.LogAttrs(context.Background(), level, "request failed", attrs...)
}

// attributes are what log lines say about an exchange. There is no query: it may
// hold secrets.
func attributes(ex *exchange.Exchange) []slog.Attr {
	q, asked := &ex.Request, ex.Asked()
	a := []slog.Attr{
		slog.String("request_id", ex.RequestID()),
		slog.String("client", ex.ClientIP.String()),
		slog.String("method", string(q.Method)),
		slog.String("host", string(asked.Authority)),
		slog.String("path", string(asked.Path)),
	}
	if ex.RouteName != "" {
		a = append(a, slog.String("route", ex.RouteName))
	}
	return a
}

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
