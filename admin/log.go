package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Line is a line of Portway's own log.
type Line struct {
	Seq     uint64         `json:"seq"`
	Time    time.Time      `json:"time"`
	Level   string         `json:"level"` // DEBUG, INFO, WARN or ERROR
	Message string         `json:"message"`
	Attrs   map[string]any `json:"attrs"` // texts, numbers and booleans
}

// maxLines bounds the lines that are kept.
const maxLines = 2000

// Log keeps the last lines that go through its handler.
type Log struct{ lines *feed[Line] }

// NewLog makes an empty Log.
func NewLog() *Log { return &Log{newFeed[Line](maxLines)} }

// Handler hands records on to next, and keeps them.
func (l *Log) Handler(next slog.Handler) slog.Handler { return &tee{Handler: next, log: l} }

// Lines lists what is kept and fits f, the oldest first.
func (l *Log) Lines(f LineFilter) []Line {
	fit := []Line{}
	for _, x := range l.lines.all() {
		if f.Fits(&x) {
			fit = append(fit, x)
		}
	}
	return fit
}

// Listen gives what is kept, the oldest first, and a channel on which new lines come
// until stop. Who is slow to take them misses some.
func (l *Log) Listen() (past []Line, next <-chan Line, stop func()) { return l.lines.listen() }

// tee is a slog.Handler.
type tee struct {
	slog.Handler
	log    *Log
	attrs  []slog.Attr
	groups string // with a dot behind each
}

// WithAttrs is part of slog.Handler.
func (t *tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *t
	with.Handler = t.Handler.WithAttrs(attrs)
	with.attrs = append([]slog.Attr{}, t.attrs...)
	for _, a := range attrs {
		with.attrs = append(with.attrs, slog.Attr{Key: t.groups + a.Key, Value: a.Value})
	}
	return &with
}

// WithGroup is part of slog.Handler.
func (t *tee) WithGroup(name string) slog.Handler {
	with := *t
	with.Handler, with.groups = t.Handler.WithGroup(name), t.groups+name+"."
	return &with
}

// Handle is part of slog.Handler.
func (t *tee) Handle(ctx context.Context, r slog.Record) error {
	attrs := make(map[string]any, r.NumAttrs()+len(t.attrs))
	for _, a := range t.attrs {
		addAttr(attrs, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		addAttr(attrs, t.groups, a)
		return true
	})
	t.log.lines.add(func(seq uint64) Line {
		return Line{Seq: seq, Time: r.Time, Level: r.Level.String(), Message: r.Message, Attrs: attrs}
	})
	return t.Handler.Handle(ctx, r)
}

// addAttr makes of a value what JSON has.
func addAttr(to map[string]any, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		for _, inner := range v.Group() {
			addAttr(to, prefix+a.Key+".", inner)
		}
	case slog.KindBool:
		to[prefix+a.Key] = v.Bool()
	case slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		to[prefix+a.Key] = json.Number(v.String())
	case slog.KindTime:
		to[prefix+a.Key] = v.Time().Format(time.RFC3339Nano)
	default:
		to[prefix+a.Key] = v.String()
	}
}

// LineFilter says which lines are wanted.
type LineFilter struct {
	Level slog.Level // at least
	Route string     // in the attribute route; empty: all
	Host  string     // in the attribute host, without its port, or among hosts
	Text  string     // anywhere, in any case
}

// Fits tells whether a line is wanted.
func (f *LineFilter) Fits(x *Line) bool {
	var level slog.Level
	if level.UnmarshalText([]byte(x.Level)) == nil && level < f.Level {
		return false
	}
	if f.Route != "" && fmt.Sprint(x.Attrs["route"]) != f.Route {
		return false
	}
	if f.Host != "" && !about(x, f.Host) {
		return false
	}
	if f.Text == "" {
		return true
	}
	text := strings.ToLower(f.Text)
	if strings.Contains(strings.ToLower(x.Message), text) {
		return true
	}
	for _, v := range x.Attrs {
		if strings.Contains(strings.ToLower(fmt.Sprint(v)), text) {
			return true
		}
	}
	return false
}

// about tells whether a line is about a host: a request for it, its route, or its
// certificate.
func about(x *Line, host string) bool {
	for _, key := range []string{"host", "name"} {
		name, _, _ := strings.Cut(fmt.Sprint(x.Attrs[key]), ":")
		if strings.EqualFold(name, host) {
			return true
		}
	}
	hosts, _ := x.Attrs["hosts"].(string)
	for _, h := range strings.Fields(strings.Trim(hosts, "[]")) {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}
