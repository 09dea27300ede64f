package certs

import (
	"log/slog"
	"sync"
	"time"
)

// tellEvery is how often the log has one message about what strangers do: they could fill
// it otherwise.
const tellEvery = time.Minute

// rarely writes each message once in tellEvery; the next one says how many were left out.
type rarely struct {
	mu    sync.Mutex
	lines map[string]*rareLine // by message
}

type rareLine struct {
	written time.Time
	left    int // out since then
}

func (r *rarely) warn(log *slog.Logger, now time.Time, message string, args ...any) {
	r.mu.Lock()
	l := r.lines[message]
	if l == nil {
		if r.lines == nil {
			r.lines = make(map[string]*rareLine)
		}
		l = &rareLine{}
		r.lines[message] = l
	}
	if now.Sub(l.written) < tellEvery {
		l.left++
		r.mu.Unlock()
		return
	}
	left := l.left
	l.written, l.left = now, 0
	r.mu.Unlock()
	if left > 0 {
		args = append(args, "left_out_before", left)
	}
	log.Warn(message, args...)
}
