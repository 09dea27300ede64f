package dashboard

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// numbers is what happens now, in words, and as a chart.
type numbers struct {
	Requests string `json:"requests"` // a second
	Failed   string `json:"failed"`   // share
	P50      string `json:"p50"`
	P99      string `json:"p99"`
	Sent     string `json:"sent"`
	Received string `json:"received"`
	Chart    chart  `json:"chart"`
}

// numbers are those of all routes together.
func (d *Dashboard) numbers() numbers {
	t, took := d.sampler.now()
	_, requests, failed := d.sampler.route("")
	n := numbers{Requests: "–", Failed: "–", P50: "–", P99: "–", Sent: "–", Received: "–", Chart: newChart(requests, failed)}
	if took <= 0 {
		return n
	}
	n.Requests = amount(float64(t.Requests) / took.Seconds())
	n.Sent, n.Received = bytesOf(float64(t.Sent)/took.Seconds())+"/s", bytesOf(float64(t.Received)/took.Seconds())+"/s"
	sums := totalsOf(t)
	n.Failed, n.P50, n.P99 = sums.Share, sums.P50, sums.P99
	return n
}

// totals is what was counted, in words.
type totals struct {
	Requests, Failed, Share, P50, P99, Sent, Received string
}

func totalsOf(t Traffic) totals {
	x := totals{
		Requests: strconv.FormatUint(t.Requests, 10), Failed: strconv.FormatUint(t.Failed, 10), Share: "–",
		P50: "–", P99: "–", Sent: bytesOf(float64(t.Sent)), Received: bytesOf(float64(t.Received)),
	}
	if t.Requests > 0 {
		x.Share = amount(100*float64(t.Failed)/float64(t.Requests)) + " %"
	}
	if q, ok := t.quantile(0.5); ok {
		x.P50 = milliseconds(q)
	}
	if q, ok := t.quantile(0.99); ok {
		x.P99 = milliseconds(q)
	}
	return x
}

func amount(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

func milliseconds(d time.Duration) string {
	return amount(float64(d)/float64(time.Millisecond)) + " ms"
}

func bytesOf(f float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if f < 1024 {
			return amount(f) + " " + unit
		}
		f /= 1024
	}
	return amount(f) + " TiB"
}

// chart is a sparkline of requests and failed ones, as points of two polylines in a box
// of chartWidth by chartHeight.
type chart struct {
	Requests string `json:"requests"`
	Failed   string `json:"failed"`
	Most     string `json:"most"` // in one second
	Text     string `json:"text"` // the same for those who do not see it
}

const (
	chartWidth  = 300
	chartHeight = 60
)

func newChart(requests, failed []float32) chart {
	var most, mostFailed float32
	for i, r := range requests {
		most, mostFailed = max(most, r), max(mostFailed, failed[i])
	}
	points := func(all []float32) string {
		var b strings.Builder
		for i, f := range all {
			x := float64(chartWidth) * float64(kept-len(all)+i) / float64(kept-1)
			y := float64(chartHeight) - 1
			if most > 0 {
				y -= float64(f) / float64(most) * (chartHeight - 2)
			}
			fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
		}
		return strings.TrimSuffix(b.String(), " ")
	}
	c := chart{Requests: points(requests), Failed: points(failed), Most: amount(float64(most))}
	c.Text = fmt.Sprintf("Requests over the last 5 minutes: at most %s a second, at most %s a second failed.", c.Most, amount(float64(mostFailed)))
	return c
}
