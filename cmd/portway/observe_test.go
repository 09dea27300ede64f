package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"portway/internal/freeport"
)

// One request is counted, written down and traced.
func TestWatching(t *testing.T) {
	t.Parallel()
	traced := make(chan string, 10)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		traced <- r.Header.Get("Traceparent")
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(origin.Close)
	spans := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		spans <- r.URL.Path + " " + string(body)
	}))
	t.Cleanup(collector.Close)
	file := filepath.Join(t.TempDir(), "access.log")
	metrics := freeport.Local(t)
	p := runProcess(t, origin.URL, "--metrics="+metrics, "--access-log="+file, "--access-log-fields=status,path,query,route", "--access-log-redact=user",
		"--traces="+collector.URL, "--trace-sample=100%")
	if status, body, err := p.get(t.Context(), "/page?user=me&a=b"); status != http.StatusOK {
		t.Fatalf("%d %q, %v", status, body, err)
	}
	if parent := <-traced; !strings.HasSuffix(parent, "-01") {
		t.Errorf("the origin is told %q", parent)
	}

	wants := []string{
		`portway_requests_total{code="200",method="GET",route="site"} 1`, `portway_build_info{`, "portway_routes 1", "go_goroutines",
		`portway_sources{kind="file",served="true"} 1`, `portway_upstream_requests_total{code="2xx",route="site",upstream=`, "portway_access_log_dropped_lines_total 0",
	}
	eventually(t, func() error { // a request is counted behind its answer
		resp, err := http.Get("http://" + metrics + "/metrics")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		for _, want := range wants {
			if err == nil && !strings.Contains(string(text), want) {
				err = fmt.Errorf("no %s in\n%s", want, text)
			}
		}
		return err
	})
	if status, body, err := ask(p.control, "/metrics"); status != http.StatusOK || !strings.Contains(string(body), wants[0]) {
		t.Errorf("the control socket answers %d %s (%v)", status, body, err)
	}

	line := `{"status":200,"path":"/page","query":"user=REDACTED&a=b","route":"site"}` + "\n"
	holds := func(path string) {
		t.Helper()
		eventually(t, func() error {
			text, err := os.ReadFile(path)
			if err == nil && string(text) != line {
				err = fmt.Errorf("%s holds %q", path, text)
			}
			return err
		})
	}
	holds(file)
	if err := os.Rename(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGUSR1)
	eventually(t, func() error { _, err := os.Stat(file); return err })
	if status, _, err := p.get(t.Context(), "/page?user=you&a=b"); status != http.StatusOK {
		t.Fatal(status, err)
	}
	holds(file)
	holds(file + ".old")

	p.signal(syscall.SIGTERM)
	p.ends(0)
	if span := <-spans; !strings.HasPrefix(span, "/v1/traces ") || !strings.Contains(span, "GET site") || !strings.Contains(span, "portway.upstream") {
		t.Errorf("the collector got %q", span)
	}
}

// eventually tries until it works: what another process does is told to nobody.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestWatchingNeedsWhatItSays(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--access-log-format=xml"}, {"--access-log-sample=2"}, {"--access-log-keep=-1"}, {"--access-log-fields=path"}, {"--traces=collector:4318"}, {"--trace-sample=101%"},
	} {
		if _, err := parse(append([]string{"run"}, args...), nil); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	r := &runCmd{AccessLog: filepath.Join(t.TempDir(), "log"), AccessLogFormat: "json", AccessLogFields: []string{"colour"}}
	inv, err := parse([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.watch(inv, nil); err == nil || !strings.Contains(err.Error(), `no field "colour"`) {
		t.Errorf("an unknown field: %v", err)
	}
}
