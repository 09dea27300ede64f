package main

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"portway/admin"
)

// What the running process knows of a route: where it comes from, that its port does
// not answer, and which request failed at it, by the ID that its visitor was shown.
func TestModelOfARunningPortway(t *testing.T) {
	t.Parallel()
	p := runProcess(t, "http://127.0.0.1:1")
	_, page, err := p.get(t.Context(), "/some/page")
	if err != nil {
		t.Fatal(err)
	}
	var routes []admin.RouteDetail
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if err := askJSON(p.control, "/v1/routes?host=site.test", &routes); err != nil {
			t.Fatal(err)
		}
		if len(routes) == 1 && routes[0].Upstreams[0].Probe != nil || time.Now().After(deadline) {
			break
		}
	}
	r := routes[0]
	if probe := r.Upstreams[0].Probe; probe == nil || probe.Answers || probe.Error != "nothing listens at 127.0.0.1:1" {
		t.Errorf("probe %+v", probe)
	}
	if len(r.Failures) != 1 || r.Failures[0].Path != "/some/page" || r.Failures[0].Cause == "" || !strings.Contains(page, r.Failures[0].RequestID) {
		t.Errorf("failures %+v, page %s", r.Failures, page)
	}
	var sources []admin.Source
	if err := askJSON(p.control, "/v1/sources", &sources); err != nil || len(sources) != 1 || sources[0].Kind != "file" || !sources[0].Served || sources[0].Routes[0].RouteID != r.ID {
		t.Errorf("sources %+v, %v", sources, err)
	}
	var x admin.Explanation
	if err := askJSON(p.control, "/v1/explain?url="+url.QueryEscape("http://site.test/some/page"), &x); err != nil || x.Served || !strings.HasPrefix(x.Verdict, "502: ") {
		t.Errorf("%+v, %v", x, err)
	}
	var lines []admin.Line
	if err := askJSON(p.control, "/v1/logs?host=site.test&level=warn", &lines); err != nil || len(lines) == 0 {
		t.Errorf("%+v, %v", lines, err)
	}
}
