package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"

	"portway/admin"
	"portway/proxy/metrics"
)

//go:generate go test -run ^Test(SettingsDoc|ManPage|MetricsDoc)$ -update .

var update = flag.Bool("update", false, "write the generated files instead of comparing them")

const settingsDoc = "../../docs/settings.md"

const settingsIntro = `<!-- Generated from cmd/portway/settings.go by make generate; edit that. -->

# Settings

Portway needs none to start. What you set, you set in one of three ways, and a
flag goes before the environment, the environment before the file:

| As | For example | Where |
|---|---|---|
| flag | ` + "`--log-level=debug`" + ` | ` + "`command:`" + ` in compose, or the command line |
| environment | ` + "`PORTWAY_LOG_LEVEL=debug`" + ` | ` + "`environment:`" + ` in compose; an empty value counts as not set |
| settings file | ` + "`log-level: debug`" + ` | ` + "`/etc/portway/portway.yaml`" + `, or where ` + "`--config`" + ` says |

Lists take commas, in the file YAML lists too. A setting that does not exist or
cannot be used stops the start, with a message that names it. What sites exist
and how they behave is not set here but by [labels](labels.md). HTTP/3, load
balancers, systemd and upgrades without a gap are told in [listeners](listeners.md).

SIGHUP reads the settings file again. At once takes effect: %s; for
others the log says that they need a restart. SIGTERM and SIGINT finish requests
in flight for up to ` + "`drain`" + ` (in compose, set ` + "`stop_grace_period`" + ` a little longer
than that, or Docker ends them after 10 s); a second one ends at once. SIGUSR2
starts the program again and [hands over to it](listeners.md#upgrades-without-a-gap).
`

// docs/settings.md says what the declaration says.
func TestSettingsDoc(t *testing.T) {
	inv, err := parse([]string{"run", "--config=" + os.DevNull}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var live []string
	for _, f := range settings(inv.ctx.Model) {
		if f.Tag.Has("live") {
			live = append(live, "`"+f.Name+"`")
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, settingsIntro, strings.Join(live, ", "))
	group := ""
	for _, f := range settings(inv.ctx.Model) {
		if f.Group.Title != group {
			group = f.Group.Title
			fmt.Fprintf(&b, "\n## %s\n\n| Setting | Value | Meaning |\n|---|---|---|\n", strings.TrimSuffix(group, ":"))
		}
		fmt.Fprintf(&b, "| `%s`<br>`%s` | %s | %s |\n", f.Name, variable(f.Name), value(f), escape(f.Help))
	}
	want := b.String()
	if *update {
		if err := os.WriteFile(settingsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(settingsDoc)
	if err != nil || string(got) != want {
		t.Errorf("%s is stale (%v); run make generate", settingsDoc, err)
	}
}

// value says what a setting takes.
func value(f *kong.Flag) string {
	switch {
	case f.IsBool():
		return "true, false"
	case f.Enum != "":
		return strings.Join(f.EnumSlice(), ", ")
	default:
		return escape(f.FormatPlaceHolder())
	}
}

func escape(s string) string { return strings.NewReplacer("|", `\|`, "*", `\*`).Replace(s) }

const metricsDoc = "../../docs/metrics.md"

const metricsIntro = `<!-- Generated from the code by make generate; edit the help texts there. -->
# Metrics

Portway counts what it does for [Prometheus](https://prometheus.io/docs/concepts/data_model/). The
setting ` + "`metrics`" + ` serves them at a port of its own, such as ` + "`--metrics=:9180`" + `; the control
socket has them at ` + "`/metrics`" + ` in any case. How many series there are is bounded by what is
served: hosts and paths are no labels, methods that are not common are ` + "`other`" + `, and
what was counted for a route or replica goes with it. [Watching Portway](watching.md) says
what else there is, and has a dashboard and alerts.

Besides these, there are those of Go and the process (` + "`go_*`, `process_*`" + `).

| Metric | Labels | Meaning |
|---|---|---|
`

// descRE takes apart what a prometheus.Desc says of itself.
var descRE = regexp.MustCompile(`fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"),.* variableLabels: \{([^}]*)\}`)

// docs/metrics.md lists what the collectors describe.
func TestMetricsDoc(t *testing.T) {
	status := admin.New(admin.Config{})
	log := counter("access_log_dropped_lines_total", logDroppedHelp, func() uint64 { return 0 })
	spans := counter("trace_lost_spans_total", spansLostHelp, func() uint64 { return 0 })
	var rows []string
	for _, c := range []prometheus.Collector{metrics.New(), status.Collector(), log, spans} {
		all := make(chan *prometheus.Desc, 100)
		c.Describe(all)
		close(all)
		for d := range all {
			m := descRE.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("a description of another form: %s", d)
			}
			help, err := strconv.Unquote(m[2])
			if err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			labels := "–"
			if m[3] != "" {
				labels = "`" + strings.ReplaceAll(m[3], ",", "`, `") + "`"
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], labels, help))
		}
	}
	slices.Sort(rows)
	want := metricsIntro + strings.Join(rows, "")
	if *update {
		if err := os.WriteFile(metricsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(metricsDoc); err != nil || string(got) != want {
		t.Errorf("%s is stale (%v); run make generate", metricsDoc, err)
	}
}
