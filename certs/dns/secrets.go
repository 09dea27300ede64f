package dns

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/go-acme/lego/v5/challenge/dns01"
	"github.com/go-acme/lego/v5/log"
)

// secrets are values that must not be in a log or an error.
type secrets []string

// secretName matches names of variables that providers keep secrets in. A provider's
// own list would not do: it has other names for some, and lists what is no secret.
var secretName = regexp.MustCompile(`KEY|TOKEN|SECRET|PASS|_PWD|_PIN\b|CREDENTIAL|AUTH|SEED|OTP`)

// shortest is the length from which a value is hidden: shorter ones are flags and
// numbers, which stand everywhere.
const shortest = 6

// environment collects the secrets of this process's environment.
func environment() secrets {
	var all secrets
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if !secretName.MatchString(name) {
			continue
		}
		if strings.HasSuffix(name, "_FILE") || strings.HasSuffix(name, "_PATH") {
			content, err := os.ReadFile(value)
			if err != nil {
				continue // the provider says so
			}
			value = strings.TrimRight(string(content), "\r\n")
		}
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
			if len(form) >= shortest && !slices.Contains(all, form) {
				all = append(all, form)
			}
		}
	}
	// Longer ones first: one may be part of another.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

func (s secrets) hide(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// useForLego gives lego our resolvers and our log.
func useForLego(r *resolver, logger *slog.Logger, hidden secrets) {
	dns01.SetDefaultClient(dns01.NewClient(&dns01.Options{RecursiveNameservers: r.servers}))
	log.SetDefault(slog.New(&legoLog{to: logger.Handler(), secrets: hidden}))
}

// legoLog hands on what lego logs, a level lower: its Info is each of its steps, and
// the output of programs that exec runs.
type legoLog struct {
	to      slog.Handler
	secrets secrets
}

func (l *legoLog) lower(level slog.Level) slog.Level {
	switch {
	case level < slog.LevelWarn:
		return slog.LevelDebug
	default:
		return slog.LevelWarn
	}
}

// Enabled is as the log says.
func (l *legoLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.to.Enabled(ctx, l.lower(level))
}

// Handle hands a record on, without secrets.
func (l *legoLog) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, l.lower(r.Level), l.secrets.hide(r.Message), 0)
	out.AddAttrs(slog.String("from", "lego"))
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(l.clean(a))
		return true
	})
	return l.to.Handle(ctx, out)
}

func (l *legoLog) clean(a slog.Attr) slog.Attr {
	return slog.String(a.Key, l.secrets.hide(a.Value.Resolve().String()))
}

// WithAttrs adds fields to all records.
func (l *legoLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = l.clean(a)
	}
	return &legoLog{to: l.to.WithAttrs(clean), secrets: l.secrets}
}

// WithGroup is for names that lego does not use.
func (l *legoLog) WithGroup(name string) slog.Handler {
	return &legoLog{to: l.to.WithGroup(name), secrets: l.secrets}
}
