package main

import (
	"fmt"
	"html"
	"strings"
)

var colours = map[string]string{
	"nginx": "#7f8c8d", "portway": "#1f77b4", "portway-full": "#9ecae1", "nginx-large": "#bdc3c7", "haproxy": "#8c6d31",
	"caddy": "#2ca02c", "traefik": "#d62728",
}

// chart draws the ratios to the baseline as bars, one group per scenario, cut at
// a width of 10 times the baseline.
func (r *results) chart() string {
	const left, bar, gap, scale, limit = 130, 13, 16, 62.0, 10.0
	var body strings.Builder
	y := 40
	for _, s := range r.Scenarios {
		top := y
		for _, p := range r.Peers {
			ratio := s.ratio(p.Name, figuresOf)
			if ratio == 0 {
				continue
			}
			fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/>`, left, y, min(ratio, limit)*scale, bar-2, colours[p.Name])
			fmt.Fprintf(&body, `<text x="%.0f" y="%d">%s %.2f</text>`+"\n", left+min(ratio, limit)*scale+4, y+bar-3, html.EscapeString(p.Name), ratio)
			y += bar
		}
		if y > top {
			fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="end" font-weight="bold">%s</text>`+"\n", left-8, (top+y)/2+3, html.EscapeString(s.Name))
			y += gap
		}
	}
	width := left + int(limit*scale) + 120
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="10">
<rect width="100%%" height="100%%" fill="white"/>
<text x="10" y="20" font-size="14">CPU or memory per unit of work, as a ratio to %s (less is better), %s, %s</text>
<line x1="%.0f" y1="30" x2="%.0f" y2="%d" stroke="#333" stroke-dasharray="3 3"/>
%s</svg>
`, width, y+10, baseline, r.Date, html.EscapeString(r.Machine), left+scale, left+scale, y, body.String())
}
