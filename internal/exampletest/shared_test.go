package exampletest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSharedSettings(t *testing.T) {
	t.Parallel()
	for version, command := range composes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			e := prepare(t, "shared-settings", command, nil)
			// Services of other tests on the same engine would have the same default hosts.
			e.change(t, "compose.yaml", `"!edge=staging"`, `"!edge=staging,com.docker.compose.project=`+e.project+`"`)
			e.up(t)
			checkShared(t, e)
		})
	}
}

func checkShared(t *testing.T, e *example) {
	c := e.client(t, nil)
	for _, tc := range []struct{ host, name, options, site, from, cached string }{
		{"whoami.", "whoami", "nosniff", "", "", ""},
		{"team-wiki.", "wiki", "nosniff", "wiki", "", "yes"},
		{"plain.", "plain", "", "", "", ""},
		{"nas.", "whoami", "nosniff", "internal", "file", ""},
	} {
		e.reaches(t, c, tc.host+e.suffix, "/")
		answer, seen := e.ask(t, c, tc.host+e.suffix)
		for what, pair := range map[string][2]string{
			"name":                   {seen.Name, tc.name},
			"X-Content-Type-Options": {answer.Header.Get("X-Content-Type-Options"), tc.options},
			"X-Site":                 {answer.Header.Get("X-Site"), tc.site},
			"X-From":                 {seen.Headers["X-From"], tc.from},
			"X-Cached":               {seen.Headers["X-Cached"], tc.cached},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %q, want %q", tc.host, what, pair[0], pair[1])
			}
		}
	}
	if answer, _ := e.ask(t, c, "shop."+e.suffix); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the shop answers %s", answer.Status)
	}
	log := e.output("logs", "--no-color", "portway")
	for _, host := range []string{"hidden.", "staging."} {
		if strings.Contains(log, host+e.suffix) {
			t.Errorf("%s is known:\n%s", host, log)
		}
	}
	// As the README says, a changed bundle reaches those who use it.
	e.change(t, "routes/shared.yaml", "X-Cached: yes", "X-Cached: changed")
	eventually(t, func() error {
		if _, seen := e.ask(t, c, "team-wiki."+e.suffix); seen.Headers["X-Cached"] != "changed" {
			return fmt.Errorf("the application still sees %v", seen.Headers)
		}
		return nil
	})
}

// change replaces a text in a file of the example.
func (e *example) change(t *testing.T, name, before, after string) {
	t.Helper()
	file := filepath.Join(e.folder, name)
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), before) {
		t.Fatalf("%s has no %s (%v)", name, before, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), before, after, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// seen is what whoami tells about a request.
type seen struct {
	Name    string
	Headers map[string]string
}

// ask gets https://host/, and what whoami saw if it was reached.
func (e *example) ask(t *testing.T, c *http.Client, host string) (answer *http.Response, what seen) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://%s:%d/", host, e.https), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	answer, err = c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		if err := json.NewDecoder(answer.Body).Decode(&what); err != nil {
			t.Fatal(err)
		}
	}
	return answer, what
}
