package admin

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"portway/label"
)

// A table comes with every event of any container; its problems must not fill
// the log each time.
func TestProblemsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := &ProblemLog{Logger: slog.New(slog.NewTextHandler(&out, nil))}
	typo := label.Problem{Source: `container "web"`, Key: "portway.hots", Why: "unknown label", Fix: "did you mean portway.host?"}
	away := label.Problem{Source: "docker", Why: "the engine does not answer"}
	for _, step := range []struct {
		name     string
		problems []label.Problem
		want     []string
	}{
		{"appears", []label.Problem{typo}, []string{"level=WARN", "msg=problem ", `source="container \"web\""`, "label=portway.hots", `fix="did you mean portway.host?"`}},
		{"stays", []label.Problem{typo, typo}, nil},
		{"another", []label.Problem{away, typo}, []string{"level=WARN", "source=docker", `why="the engine does not answer"`}},
		{"first is solved", []label.Problem{away}, []string{"level=INFO", "problem solved", "label=portway.hots"}},
		{"all are solved", nil, []string{"problem solved", "source=docker"}},
		{"comes back", []label.Problem{typo}, []string{"level=WARN", "label=portway.hots"}},
	} {
		out.Reset()
		log.Update(step.problems)
		got := out.String()
		if len(step.want) == 0 && got != "" || len(step.want) > 0 && strings.Count(got, "\n") != 1 {
			t.Errorf("%s: logged %q", step.name, got)
		}
		for _, want := range step.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %q", step.name, want, got)
			}
		}
	}
}
