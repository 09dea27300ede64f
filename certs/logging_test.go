package certs

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

func TestBridge(t *testing.T) {
	t.Parallel()
	log, l := newLogs(t)
	z := newLogger(log, nil).Named("maintenance").With(zap.String("cache", "c1"))
	z.Info("a step", zap.Strings("identifiers", []string{"a.com", "b.com"}))
	z.Warn("odd")
	z.Error("bad", zap.Error(errFake), zap.Duration("took", time.Second))
	for _, want := range [][]string{
		{"level=DEBUG", `msg="a step"`, "from=certmagic.maintenance", "cache=c1", `identifiers="[a.com b.com]"`},
		{"level=WARN", "msg=odd"},
		{"level=ERROR", "msg=bad", `error="the fake CA says no"`, "took=1s"},
	} {
		if found := l.lines(want...); len(found) != 1 {
			t.Errorf("%d lines with %q", len(found), want)
		}
	}
	quiet := newLogger(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelError})), nil)
	if quiet.Core().Enabled(zap.WarnLevel) {
		t.Error("a warning is made for a log that takes errors only")
	}
}

// The CA's words about each challenge are in the ACME client's records only.
func TestTryListens(t *testing.T) {
	t.Parallel()
	log, l := newLogs(t)
	tr := newTry("a.com")
	acmeLog := slog.New(zapslog.NewHandler(newLogger(log, tr).Core(), zapslog.WithName("acme_client")))
	problem := acme.Problem{Type: acme.ProblemTypeConnection, Detail: "connection refused"}
	acmeLog.Error("challenge failed", slog.String("challenge_type", "http-01"), slog.Any("problem", problem))
	acmeLog.Debug("http request", slog.Int("status_code", 200), slog.Any("response_headers", http.Header{"Retry-After": {"5"}}))
	acmeLog.Debug("http request", slog.Int("status_code", 429), slog.Any("response_headers", http.Header{"Retry-After": {"120"}}))
	newLogger(log, tr).Warn("trying to recreate", zap.Any("problem", acme.Problem{Type: acme.ProblemTypeAccountDoesNotExist}))
	if !tr.newAccount {
		t.Error("that the account is gone was missed")
	}
	if want := []string{"http-01: connection refused"}; !slices.Equal(tr.challenges, want) {
		t.Errorf("challenges: got %q, want %q", tr.challenges, want)
	}
	if tr.retryAfter != 2*time.Minute {
		t.Errorf("Retry-After: got %v, want 2m", tr.retryAfter)
	}
	for line := range strings.Lines(l.String()) {
		if !strings.Contains(line, "level=DEBUG") || !strings.Contains(line, "name=a.com") {
			t.Errorf("a step of a try is not a detail with its name: %s", line)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"120":                           2 * time.Minute,
		"0":                             0,
		"-5":                            0,
		"1h":                            0,
		"soon":                          0,
		"":                              0,
		"9223372036854775807":           longestWait,
		"Wed, 01 Jan 2025 01:00:00 GMT": time.Hour,
		"Wed, 01 Jan 2020 01:00:00 GMT": 0,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Wed, 01 Jan 2025 01:00:00 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if parseRetryAfter(value, time.Now()) < 0 {
			t.Error("a negative wait")
		}
	})
}
