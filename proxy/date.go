package proxy

import (
	"net/http"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
)

// dateClock gives answers that came without Date the time at which they did (RFC
// 9110 section 6.6.1).
type dateClock struct{ last atomic.Pointer[second] }

// second is one second and how Date writes it.
type second struct {
	unix int64
	line *exchange.Line
}

// stamp adds Date to a final answer that has none.
func (c *dateClock) stamp(ex *exchange.Exchange) {
	p := &ex.Response
	if p.Status >= 200 && !p.Fields.Has("date") {
		p.Fields.AddLine(c.line(time.Now()))
	}
}

// line is now as Date, made once a second.
func (c *dateClock) line(now time.Time) *exchange.Line {
	if s := c.last.Load(); s != nil && s.unix == now.Unix() {
		return s.line
	}
	s := &second{now.Unix(), exchange.NewLine("Date", now.UTC().Format(http.TimeFormat))}
	c.last.Store(s)
	return s.line
}
