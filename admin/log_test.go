package admin

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func newLogger(l *Log) *slog.Logger {
	return slog.New(l.Handler(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// Lines are kept as they are logged, can be asked for by what they are about, and
// come as they are written.
func TestLog(t *testing.T) {
	t.Parallel()
	l := NewLog()
	logger := newLogger(l)
	logger.Info("route added", "route", "web", "hosts", []string{"a.test", "b.test"})
	logger.With("request_id", "1").WithGroup("g").Warn("request failed", "host", "x.test", slog.Group("in", "n", 1), "error", errors.New("no"))
	logger.Warn("request failed", "host", "A.test:8443", "route", "web", "ok", true)
	logger.Debug("detail")
	for _, c := range []struct {
		f    LineFilter
		want int
	}{
		{LineFilter{Level: slog.LevelDebug}, 4},
		{LineFilter{}, 3},
		{LineFilter{Level: slog.LevelWarn}, 2},
		{LineFilter{Route: "web"}, 2},
		{LineFilter{Host: "a.test"}, 2},
		{LineFilter{Host: "b.test"}, 1},
		{LineFilter{Text: "FAILED"}, 2},
		{LineFilter{Text: "8443"}, 1},
	} {
		if got := l.Lines(c.f); len(got) != c.want {
			t.Errorf("%+v: %+v", c.f, got)
		}
	}
	second := l.Lines(LineFilter{})[1]
	if a := second.Attrs; a["request_id"] != "1" || a["g.error"] != "no" || a["g.host"] != "x.test" {
		t.Errorf("%+v", second)
	}
	server := httptest.NewServer(New(Config{Log: l}))
	defer server.Close()
	resp, err := http.Get(server.URL + "/v1/logs/stream?level=warn&n=1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	logger.Info("not wanted")
	logger.Error("the last")
	var all strings.Builder
	for lines := bufio.NewScanner(resp.Body); lines.Scan() && !strings.Contains(all.String(), "the last"); {
		all.WriteString(lines.Text())
	}
	if got := all.String(); strings.Count(got, "event: line") != 2 || strings.Contains(got, "not wanted") || strings.Contains(got, "detail") {
		t.Errorf("%s", got)
	}
}
