package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"portway/internal/need"
)

const monitoring = "../../docs/monitoring/"

// Prometheus's own tool takes the alerts, and they go off when they should.
func TestAlerts(t *testing.T) {
	t.Parallel()
	tool, err := filepath.Abs("../../.cache/bin/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tool); err != nil {
		need.Missing(t, "promtool is not here; scripts/promtool gets it")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(tool, args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Dashboard and alerts ask for nothing that is not there.
func TestMonitoringAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	documented, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`portway_[a-z_]+`)
	for _, file := range []string{"grafana.json", "alerts.yml"} {
		text, err := os.ReadFile(monitoring + file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(text) {
			t.Errorf("%s is not JSON", file)
		}
		asked := name.FindAllString(string(text), -1)
		if len(asked) < 10 {
			t.Errorf("%s asks for only %v", file, asked)
		}
		for _, metric := range asked {
			if !strings.Contains(string(documented), "`"+strings.TrimSuffix(metric, "_bucket")+"`") {
				t.Errorf("%s asks for %s, which there is not", file, metric)
			}
		}
	}
}
