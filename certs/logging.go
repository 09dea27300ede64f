package certs

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// bridge is a zap core that hands certmagic's records on to slog.
type bridge struct {
	handler slog.Handler
	fields  []zapcore.Field

	// try, if set, is the try that the records belong to. Its outcome is told
	// elsewhere in one record, so all of these are details.
	try *try
}

var _ zapcore.Core = (*bridge)(nil)

// newLogger returns a logger for certmagic. try may be nil.
func newLogger(log *slog.Logger, try *try) *zap.Logger {
	return zap.New(&bridge{handler: log.Handler(), try: try})
}

// level maps a level of certmagic, which reports each of its steps as Info.
func (b *bridge) level(l zapcore.Level) slog.Level {
	switch {
	case b.try != nil || l < zapcore.WarnLevel:
		return slog.LevelDebug
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

// Enabled is true for all records of a try, since some tell more than the
// error that the try ends with.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return b.try != nil || b.handler.Enabled(context.Background(), b.level(l))
}

// With returns a core that adds fields to each record.
func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	c := *b
	c.fields = slices.Concat(b.fields, fields)
	return &c
}

// Check adds b to ce if the record is wanted.
func (b *bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return ce.AddCore(e, b)
	}
	return ce
}

// Write hands a record on.
func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	all := slices.Concat(b.fields, fields)
	for _, f := range all {
		f.AddTo(enc)
	}
	if b.try != nil {
		b.try.listen(enc.Fields)
	}
	ctx, level := context.Background(), b.level(e.Level)
	if !b.handler.Enabled(ctx, level) {
		return nil
	}
	r := slog.NewRecord(e.Time, level, e.Message, 0)
	if b.try != nil {
		r.AddAttrs(slog.String("name", b.try.name))
	}
	from := "certmagic"
	if part := strings.Trim(e.LoggerName, "."); part != "" {
		from += "." + part
	}
	r.AddAttrs(slog.String("from", from))
	seen := make(map[string]bool, len(all))
	for _, f := range all { // in certmagic's order, which a map has not
		if v, ok := enc.Fields[f.Key]; ok && !seen[f.Key] {
			seen[f.Key] = true
			r.AddAttrs(slog.Any(f.Key, v))
		}
	}
	return b.handler.Handle(ctx, r)
}

// Sync does nothing: slog has no buffer.
func (b *bridge) Sync() error { return nil }

// listen picks from the records of certmagic and its ACME client what they
// leave out of the error: what the CA said about each challenge that failed,
// how many were begun, the Retry-After field of a refusal, and that the account is gone.
func (t *try) listen(fields map[string]any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch problem := fields["problem"].(type) {
	case map[string]any:
		challenge, _ := fields["challenge_type"].(string)
		detail, _ := problem["detail"].(string)
		if challenge != "" && detail != "" {
			t.challenges = append(t.challenges, challenge+": "+detail)
		}
	case string:
		t.newAccount = t.newAccount || strings.Contains(problem, acme.ProblemTypeAccountDoesNotExist)
	}
	if ca, ok := fields["ca"].(string); ok && fields["challenge_type"] != nil && fields["problem"] == nil {
		t.begun[ca]++
		t.challenge, _ = fields["challenge_type"].(string)
	}
	header, _ := fields["response_headers"].(http.Header)
	if status, ok := fields["status_code"].(int64); ok && status >= 400 && header.Get("Retry-After") != "" {
		t.retryAfter = parseRetryAfter(header.Get("Retry-After"), time.Now())
	}
}

// parseRetryAfter returns how long to wait by RFC 9110 section 10.2.3, and 0
// if value is neither a number of seconds nor a date to come.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(longestWait/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
