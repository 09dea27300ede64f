// Package archtest holds the packages' imports against the arrows of
// ARCHITECTURE.md.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "portway/"

// arrows lists, for each package that ships, what of ours it may import. A new
// package must be added here, which is the moment to think about its place.
var arrows = map[string][]string{
	"label":               {},
	"route":               {"label", "internal/redact"},
	"discovery":           {"label", "route"},
	"geo":                 {},
	"certs/ech":           {"internal/atomicfile"},
	"certs":               {"certs/budget", "certs/files", "certs/localca", "internal/atomicfile", "certs/migrate", "certs/preflight"},
	"certs/files":         {},
	"certs/dns":           {"certs/dns/route53"},
	"certs/dns/route53":   {},
	"certs/localca":       {"internal/atomicfile"},
	"certs/budget":        {"internal/atomicfile"},
	"certs/migrate":       {},
	"certs/preflight":     {},
	"admin":               {"label", "route"},
	"admin/dashboard":     {"admin", "internal/atomicfile"},
	"admin/show":          {"admin"},
	"doctor":              {"discovery", "certs/preflight"},
	"lint":                {"label", "route", "discovery"},
	"proxy/exchange":      {},
	"proxy/wire":          {},
	"proxy/h1":            {"proxy/exchange", "proxy/wire"},
	"proxy/h2":            {"proxy/exchange", "proxy/wire", "proxy/h1"}, // for what a valid field, path or authority is
	"proxy/upstream":      {"proxy/exchange", "proxy/wire", "proxy/h1"},
	"proxy/errorpage":     {"proxy/exchange"},
	"proxy/queue":         {"proxy/exchange"},
	"proxy/origintls":     {"label"},
	"proxy/middleware":    {"proxy/exchange", "proxy/queue", "proxy/errorpage", "label", "internal/redact"},
	"proxy/balance":       {"label", "proxy/exchange", "proxy/queue"},
	"proxy/cache":         {"proxy/exchange", "proxy/cache/policy", "proxy/cache/disk", "label"},
	"proxy/cache/disk":    {"internal/atomicfile"},
	"proxy/cache/policy":  {"proxy/exchange"},
	"proxy/observe":       {"proxy/exchange"},
	"proxy/metrics":       {"proxy/exchange", "proxy/observe"},
	"proxy/accesslog":     {"proxy/exchange", "proxy/observe", "internal/redact"},
	"proxy/tracing":       {"proxy/exchange", "proxy/observe"},
	"proxy/health":        {"proxy/exchange", "proxy/upstream", "label", "internal/redact"},
	"proxy":               {"label", "route", "proxy/exchange", "proxy/wire", "proxy/h1", "proxy/h2", "proxy/upstream", "proxy/errorpage", "proxy/middleware", "proxy/health", "proxy/origintls", "proxy/queue", "proxy/balance", "proxy/cache", "proxy/observe"},
	"internal/atomicfile": {},
	"internal/service":    {},
	"internal/trust":      {},
	"internal/redact":     {},
	"internal/deps":       {},
	"cmd/portway": {
		"label", "route", "discovery", "geo",
		"certs", "certs/budget", "certs/dns", "certs/ech", "certs/migrate", "certs/preflight",
		"proxy", "proxy/accesslog", "proxy/cache", "proxy/metrics", "proxy/observe", "proxy/tracing",
		"admin", "admin/dashboard", "admin/show", "doctor", "lint",
		"internal/atomicfile", "internal/service", "internal/trust",
	},
	"cmd/whoami": {},
}

// tooling is what only tests, make targets and measurements use: it may import
// anything. That no package that ships imports it follows from arrows.
func tooling(path string) bool {
	_, ships := arrows[path]
	return !ships && (path == "bench" || strings.HasPrefix(path, "bench/") || strings.HasPrefix(path, "internal/"))
}

type pkg struct {
	ImportPath string
	Imports    []string
}

// list gives the module's packages as the go command sees them, without tests.
func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestArrows(t *testing.T) {
	t.Parallel()
	all := list(t)
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	for _, complaint := range violations(all) {
		t.Error(complaint)
	}
}

// violations tells every import that goes against the arrows.
func violations(all []pkg) []string {
	var complaints []string
	for _, p := range all {
		path := strings.TrimPrefix(p.ImportPath, module)
		if tooling(path) {
			continue
		}
		allowed, known := arrows[path]
		if !known {
			complaints = append(complaints, p.ImportPath+" has no place in internal/archtest yet: say what it may import")
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module); ok && !slices.Contains(allowed, ours) {
				complaints = append(complaints, p.ImportPath+" imports "+i+", against the arrows of ARCHITECTURE.md")
			}
			if path == "label" && strings.Contains(i, ".") {
				complaints = append(complaints, "label imports "+i+", but may use the standard library only")
			}
		}
	}
	return complaints
}

// The check itself must be able to fail.
func TestViolationsAreSeen(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]pkg{
		"against an arrow":    {module + "route", []string{module + "proxy"}},
		"test helper ships":   {module + "certs", []string{module + "internal/pebbletest"}},
		"library in label":    {module + "label", []string{"golang.org/x/net/idna"}},
		"package of no place": {module + "util", nil},
	} {
		if got := violations([]pkg{p}); len(got) != 1 {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := violations([]pkg{{module + "route", []string{"strings", module + "label"}}}); got != nil {
		t.Errorf("allowed imports: %q", got)
	}
}
