package show

import (
	"fmt"
	"slices"

	"portway/admin"
)

// Live is what happened to a request that was sent.
type Live struct {
	URL       string      `json:"url"`
	Steps     []Step      `json:"steps"`
	Status    int         `json:"status"` // 0: no answer
	Protocol  string      `json:"protocol"`
	RequestID string      `json:"request_id,omitempty"` // where the answer has one
	TotalMS   float64     `json:"total_ms"`
	Location  string      `json:"location,omitempty"` // of a redirect
	Loop      bool        `json:"loop"`               // the redirect leads to where it comes from
	Error     string      `json:"error,omitempty"`
	Hops      []admin.Hop `json:"hops"` // the replicas, asked directly
}

// Step is something on the way, and how long it took.
type Step struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
	What string  `json:"what,omitempty"`
}

// Good tells whether a visitor would have been content.
func (l *Live) Good() bool { return l.Error == "" && l.Status > 0 && l.Status < 500 && !l.Loop }

// Live writes what happened to a request.
func (p Printer) Live(l *Live) {
	p.heading("Sent " + clean(l.URL))
	var rows [][]cell
	for _, s := range l.Steps {
		rows = append(rows, []cell{c("  " + s.Name), c(fmt.Sprintf("%.1f ms", s.MS)), c(s.What)})
	}
	if l.Status > 0 {
		colour := green
		if l.Status >= 400 {
			colour = red
		}
		rows = append(rows, []cell{c("  answer"), c(fmt.Sprintf("%.1f ms", l.TotalMS)), c(fmt.Sprintf("%d by %s %s", l.Status, l.Protocol, l.Location), colour)})
	}
	for _, h := range l.Hops {
		text := fmt.Sprintf("%d, connect %.1f ms, TLS %.1f ms", h.Status, h.ConnectMS, h.TLSMS)
		if h.Error != "" {
			text = h.Error
		}
		rows = append(rows, []cell{c("  " + h.Upstream + " directly"), c(fmt.Sprintf("%.1f ms", h.FirstByteMS)), c(text)})
	}
	p.table([]string{"  STEP", "TIME", "WHAT"}, rows)
	if l.Error != "" {
		p.line("  %s", p.in(red, clean(l.Error)))
	}
	if l.Loop || slices.ContainsFunc(l.Hops, func(h admin.Hop) bool { return h.Loop }) {
		p.line("  %s", p.in(yellow, admin.LoopFix))
	}
}
