package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"portway/admin"
)

// Bounds of streams: an open page has one.
const (
	maxStreams = 200
	slowest    = 30 * time.Second // that a browser may take for one message
)

// logPage is what the log shows.
type logPage struct {
	Filter admin.LineFilter
	Level  string
	Wrong  string
	Lines  []admin.Line // the newest first
	Kept   bool
}

// shown is how many lines a page begins with.
const shown = 300

var levels = []string{"debug", "info", "warn", "error"}

// Levels are those that can be chosen.
func (logPage) Levels() []string { return levels }

func (d *Dashboard) log(w http.ResponseWriter, r *http.Request) {
	f, level, err := filterOf(r)
	p := logPage{Filter: f, Level: level, Kept: d.cfg.Log != nil}
	if err != nil {
		p.Wrong = err.Error()
	}
	stream := r.URL.Query()
	stream.Set("log", level)
	if d.cfg.Log != nil {
		all := d.cfg.Log.Lines(f)
		for i := len(all) - 1; i >= 0 && len(p.Lines) < shown; i-- {
			p.Lines = append(p.Lines, all[i])
		}
		if len(p.Lines) > 0 {
			stream.Set("since", strconv.FormatUint(p.Lines[0].Seq, 10))
		}
	}
	d.render(w, r, "log", page{Title: "Log", Here: "/log", Data: p, Stream: "/live?" + stream.Encode()})
}

// filterOf reads which lines are wanted.
func filterOf(r *http.Request) (f admin.LineFilter, level string, err error) {
	v := r.URL.Query()
	level = v.Get("level")
	if level == "" {
		level = "info"
	}
	if err = f.Level.UnmarshalText([]byte(level)); err != nil {
		f.Level, level, err = 0, "info", fmt.Errorf("%q is no level", level)
	}
	f.Text, f.Route, f.Host = v.Get("text"), v.Get("route"), v.Get("host")
	return f, level, err
}

// stream writes server-sent events.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
}

func (s stream) send(kind string, seq uint64, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_ = s.out.SetWriteDeadline(time.Now().Add(slowest)) // not all writers have one
	if seq > 0 {
		_, _ = fmt.Fprintf(s.w, "id: %d\n", seq)
	}
	if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", kind, data); err != nil {
		return err
	}
	return s.out.Flush()
}

// live sends "change" when a page is to be fetched again, "numbers" with what the
// overview shows, and "line" with lines of the log, as the query asks.
func (d *Dashboard) live(w http.ResponseWriter, r *http.Request) {
	if d.streams.Add(1) > maxStreams {
		d.streams.Add(-1)
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer d.streams.Add(-1)
	v := r.URL.Query()
	events, failures, stop := d.cfg.Admin.Listen()
	defer stop()
	var lines <-chan admin.Line
	var past []admin.Line
	f, _, _ := filterOf(r)
	if v.Has("log") && d.cfg.Log != nil {
		var stopLines func()
		past, lines, stopLines = d.cfg.Log.Listen()
		defer stopLines()
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := stream{w, http.NewResponseController(w)}
	if out.send("hello", 0, struct{}{}) != nil {
		return
	}
	since := sinceOf(r)
	if n := len(past); n > 0 && since > past[n-1].Seq {
		since = 0 // Portway has started anew
	}
	for _, x := range past {
		if x.Seq > since && f.Fits(&x) && out.send("line", x.Seq, x) != nil {
			return
		}
	}
	session := d.session(r)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case <-d.ended:
			return
		case e := <-events:
			err = out.send("change", 0, e)
		case x := <-failures:
			if v.Get("route") == x.Route && x.Route != "" {
				err = out.send("change", 0, x)
			}
		case x := <-lines:
			if f.Fits(&x) {
				err = out.send("line", x.Seq, x)
			}
		case <-tick.C:
			switch {
			case !d.account.valid(session): // it was signed out elsewhere
				_ = out.send("bye", 0, struct{}{})
				return
			case v.Has("numbers"):
				err = out.send("numbers", 0, d.numbers())
			case v.Has("route") && !v.Has("log"):
				_, requests, failed := d.sampler.route(v.Get("route"))
				err = out.send("numbers", 0, numbers{Chart: newChart(requests, failed)})
			default:
				err = out.send("beat", 0, struct{}{})
			}
		}
		if err != nil {
			return
		}
	}
}

// sinceOf is the last line that a page has.
func sinceOf(r *http.Request) uint64 {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("since")
	}
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}
