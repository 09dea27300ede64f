package admin

import (
	"log/slog"

	"portway/label"
)

// ProblemLog logs each problem of the tables once when it appears and once
// when it is solved, however many tables come in between. It is used by one
// goroutine.
type ProblemLog struct {
	Logger *slog.Logger
	known  map[label.Problem]bool
}

// Update takes the problems of the newest table.
func (l *ProblemLog) Update(problems []label.Problem) {
	now := make(map[label.Problem]bool, len(problems))
	for _, p := range problems {
		if now[p] {
			continue
		}
		now[p] = true
		if !l.known[p] {
			l.Logger.Warn("problem", attrs(p)...)
		}
	}
	for p := range l.known {
		if !now[p] {
			l.Logger.Info("problem solved", attrs(p)...)
		}
	}
	l.known = now
}

func attrs(p label.Problem) []any {
	a := []any{"source", p.Source}
	if p.Key != "" {
		a = append(a, "label", p.Key)
	}
	a = append(a, "why", p.Why)
	if p.Fix != "" {
		a = append(a, "fix", p.Fix)
	}
	return a
}
