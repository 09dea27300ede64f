package certs

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := defaultTiming().backoff
	for failures, want := range map[int]time.Duration{
		1: time.Minute, 2: 2 * time.Minute, 3: 4 * time.Minute, 9: 256 * time.Minute, 10: 6 * time.Hour, 1000: 6 * time.Hour,
	} {
		if got := b.delay(failures); got < want || got > want+want/10 {
			t.Errorf("after %d failures: got %v, want %v and at most a tenth more", failures, got, want)
		}
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	b := backoff{base: time.Minute, limit: time.Hour}
	begun := record{Name: "a.com"}.begun(now, b)
	if wait := begun.NextTry.Sub(now); begun.Attempts != 1 || wait < 5*time.Second || wait > 6*time.Second {
		t.Errorf("a try under way: got %d attempts and a wait of %v, want 1 and 5 s", begun.Attempts, wait)
	}
	for _, c := range []struct {
		asked, want time.Duration
	}{{0, time.Minute}, {time.Second, time.Minute}, {3 * time.Hour, 3 * time.Hour}, {1000 * time.Hour, longestWait}} {
		r := begun.failed(now, b, c.asked, "no")
		if wait := r.NextTry.Sub(now); r.Attempts != 1 || wait < c.want || wait > c.want+c.want/10 {
			t.Errorf("the CA asked for %v: got %d attempts and a wait of %v, want 1 and %v", c.asked, r.Attempts, wait, c.want)
		}
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := ledger{storage: &certmagic.FileStorage{Path: t.TempDir()}, issuer: "ca.example-directory"}
	if r, err := l.load(ctx, "a.com"); err != nil || r != (record{}) {
		t.Fatalf("before: got %v, %v", r, err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	want := record{Name: "a.com", Attempts: 3, LastTry: now, NextTry: now.Add(time.Hour), Error: "it said \"no\""}
	if err := l.save(ctx, want); err != nil {
		t.Fatal(err)
	}
	if got, err := l.load(ctx, "a.com"); err != nil || got != want {
		t.Fatalf("got %v, %v; want %v", got, err, want)
	}
	other := l
	other.issuer = "another-ca"
	if r, err := other.load(ctx, "a.com"); err != nil || r != (record{}) {
		t.Errorf("another CA inherits the failures: %v, %v", r, err)
	}
	if err := l.storage.Store(ctx, l.key("b.com"), []byte(`{"name":`)); err != nil {
		t.Fatal(err)
	}
	if r, err := l.load(ctx, "b.com"); err == nil || !strings.Contains(err.Error(), "b.com.json") || r != (record{}) {
		t.Errorf("torn file: got %v, %v; want an error that names it", r, err)
	}
	if err := l.clear(ctx, "a.com"); err != nil {
		t.Fatal(err)
	}
	if r, err := l.load(ctx, "a.com"); err != nil || r != (record{}) {
		t.Fatalf("after: got %v, %v", r, err)
	}
}

func TestParseRecordRefuses(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		``, `null`, `[]`, `{}`,
		`{"name":"b.com","attempts":1,"last_try":"2025-01-01T00:00:00Z","next_try":"2025-01-01T00:01:00Z"}`,
		`{"name":"a.com","attempts":0,"last_try":"2025-01-01T00:00:00Z","next_try":"2025-01-01T00:01:00Z"}`,
		`{"name":"a.com","attempts":1,"last_try":"2025-01-01T00:00:00Z"}`,
		`{"name":"a.com","attempts":1,"last_try":"2025-01-01T00:00:00Z","next_try":"2024-01-01T00:01:00Z"}`,
		`{"name":"a.com","attempts":1,"last_try":"2025-01-01T00:00:00Z","next_try":"2035-01-01T00:01:00Z"}`,
	} {
		if r, err := parseRecord([]byte(data), "a.com"); err == nil {
			t.Errorf("%s: got %v, want an error", data, r)
		}
	}
}

// Whatever the file holds, the next try is never out of reach.
func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"name":"a.com","attempts":3,"last_try":"2025-01-01T00:00:00Z","next_try":"2025-01-01T00:01:00Z","error":"no"}`))
	f.Add([]byte(`{"name":"a.com","attempts":1e99}`))
	f.Add([]byte(`{"name":"a.com","attempts":9,"last_try":"9999-12-31T23:59:59Z","next_try":"9999-12-31T23:59:59Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data, "a.com")
		if err != nil {
			if r != (record{}) {
				t.Fatalf("got %v with error %v", r, err)
			}
			return
		}
		if r.Name != "a.com" || r.Attempts < 1 || r.NextTry.Sub(r.LastTry) > 2*longestWait || r.NextTry.Before(r.LastTry) {
			t.Fatalf("accepted %v", r)
		}
		b := defaultTiming().backoff
		if d := b.delay(r.Attempts); d <= 0 || d > 7*time.Hour {
			t.Fatalf("%d attempts lead to a delay of %v", r.Attempts, d)
		}
		if next := r.begun(r.NextTry, b); next.Attempts <= 0 {
			t.Fatalf("%d attempts overflow", r.Attempts)
		}
	})
}
