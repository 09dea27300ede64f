package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

//go:generate go test -run ^Test(SettingsDoc|ManPage)$ -update .

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
