package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// heartbeat is how often a stream without news sends a comment, so that both sides
// notice when the other is gone.
const heartbeat = 15 * time.Second

// streamer writes server-sent events (WHATWG HTML section 9.2).
type streamer struct {
	w   http.ResponseWriter
	out *http.ResponseController
}

func newStreamer(w http.ResponseWriter) *streamer {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	s := &streamer{w, http.NewResponseController(w)}
	_ = s.out.SetWriteDeadline(time.Time{}) // a stream has no end; not all writers have a deadline
	_ = s.flush()
	return s
}

func (s *streamer) flush() error { return s.out.Flush() }

// send writes one event; seq 0 is left out.
func (s *streamer) send(kind string, seq uint64, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if seq > 0 {
		_, _ = fmt.Fprintf(s.w, "id: %d\n", seq)
	}
	if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", kind, data); err != nil {
		return err
	}
	return s.flush()
}

func (s *streamer) beat() error {
	if _, err := s.w.Write([]byte(":\n\n")); err != nil {
		return err
	}
	return s.flush()
}

// lastEvent is the number of the last event that a client has, which comes again.
func lastEvent(r *http.Request) uint64 {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("since")
	}
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// Listen gives channels on which Events and Failures come as they happen, until stop. Who
// is slow to take them misses some.
func (s *Server) Listen() (events <-chan Event, failures <-chan Failure, stop func()) {
	_, events, stopEvents := s.history.listen()
	_, failures, stopFailures := s.failed.listen()
	return events, failures, func() {
		stopEvents()
		stopFailures()
	}
}

// streamEvents sends Events, as "change", and Failures, as "failure", as they happen.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) {
	past, events, stop := s.history.listen()
	defer stop()
	_, failed, stopFailed := s.failed.listen()
	defer stopFailed()
	out := newStreamer(w)
	if since := lastEvent(r); since > 0 {
		for _, e := range past {
			if e.Seq > since && out.send("change", e.Seq, e) != nil {
				return
			}
		}
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			err = out.send("change", e.Seq, e)
		case f := <-failed:
			err = out.send("failure", 0, f)
		case <-beat.C:
			err = out.beat()
		}
		if err != nil {
			return
		}
	}
}

// streamLog sends Lines, as "line": those that are kept, and then new ones.
func (s *Server) streamLog(w http.ResponseWriter, r *http.Request) {
	f, n, err := lineFilter(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	past, lines, stop := s.cfg.Log.lines.listen()
	defer stop()
	out := newStreamer(w)
	since := lastEvent(r)
	var fit []Line
	for _, x := range past {
		if x.Seq > since && f.Fits(&x) {
			fit = append(fit, x)
		}
	}
	for _, x := range fit[max(0, len(fit)-n):] {
		if out.send("line", x.Seq, x) != nil {
			return
		}
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case x := <-lines:
			if f.Fits(&x) {
				err = out.send("line", x.Seq, x)
			}
		case <-beat.C:
			err = out.beat()
		}
		if err != nil {
			return
		}
	}
}
