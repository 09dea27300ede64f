package show_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/admin"
	"portway/admin/show"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what people see with testdata/NAME.txt.
func golden(t *testing.T, name string, write func(show.Printer)) {
	t.Helper()
	var b strings.Builder
	write(show.Printer{Out: &b})
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != b.String() {
		t.Errorf("%v; got:\n%s", err, b.String())
	}
}

var (
	day    = time.Date(2026, 5, 6, 7, 8, 9, 0, time.Local)
	expiry = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	detail = admin.RouteDetail{
		Route: admin.Route{
			Name: "blog/web", Source: `container "blog-web-1"`, Hosts: []string{"blog.example.com", "*.blog.example.com"}, Path: "/", HTTPS: "redirect",
			Upstreams: []admin.Upstream{
				{Name: "blog-web-1", Scheme: "http", Address: "172.18.0.2:80", State: "ready", InFlight: 3, Probe: &admin.Probe{Answers: true}},
				{Name: "blog-web-2", Scheme: "http", Address: "172.18.0.3:80", State: "ready", Probe: &admin.Probe{Error: "nothing listens at 172.18.0.3:80", Hint: "set portway.port: 8080, where something listens"}},
				{Name: "blog-web-3", Scheme: "http", Address: "172.18.0.4:80", State: "unhealthy", Reason: "fails its health check"},
			},
		},
		PathKind: "prefix", Criteria: "match.method: GET",
		Members:      []admin.Member{{Name: "blog/next", Role: "canary", Share: 5}},
		Chain:        []admin.Step{{Name: "basic-auth", Settings: []admin.Setting{{Option: "basic-auth.users", Hidden: true}}}, {Name: "compress", Settings: []admin.Setting{{Option: "compress", Value: "true", From: "the setting default"}}}},
		Certificates: []admin.Certificate{{Name: "blog.example.com", State: "valid", NotAfter: &expiry}},
	}
	source = admin.Source{
		Kind: "container", Name: "blog-web-1", Service: "blog/web", State: "ready", Labels: []admin.Setting{{Key: "portway.hots", Hidden: true}, {Key: "portway.host", Value: "blog.example.com"}},
		Networks: []admin.Network{{Name: "blog_default", IP: "172.18.0.2", Shared: true}, {Name: "other"}}, Exposed: []int{80, 8080}, Published: []string{"0.0.0.0:8000->80"},
		Routes:   []admin.Part{{Settings: []admin.Setting{{Option: "host", Value: "blog.example.com"}}, Choice: admin.Choice{Address: "172.18.0.2:80", Port: 80, PortWhy: "the label says so", Why: "it is the only network that the container shares with Portway"}, Served: true}, {Name: "api"}},
		Problems: []admin.Problem{{Label: "portway.hots", Why: "unknown label", Fix: "did you mean portway.host?"}, {Why: "x"}},
	}
)

func TestGolden(t *testing.T) {
	t.Parallel()
	golden(t, "explanation", func(p show.Printer) {
		p.Explanation(admin.Explanation{
			Served: true, Verdict: "blog/web gets it, and 1 replica answers", Fixes: []string{"do this", "do that", "do this"},
			Request: &admin.Trace{
				URL: "https://blog.example.com/api", Method: "GET", Host: "blog.example.com", FoundBy: "blog.example.com", Route: &detail, Certificate: &detail.Certificates[0],
				Tried: []admin.Try{
					{Route: "blog/api", Path: "/api", Misses: []admin.Miss{{Option: "match.method", Wants: "POST", Got: "GET"}, {Option: "match.cookie", Wants: "beta"}}},
					{Route: "blog/web", Path: "/", Chosen: true},
					{Route: "blog/old", Path: "/"},
				},
			},
			Sources:  []admin.Source{source},
			Failures: []admin.Failure{{Time: day, Status: 502, Method: "GET", Host: "blog.example.com", Path: "/\x1b[2J", Cause: "connection refused", RequestID: "0123"}},
		})
	})
	golden(t, "tables", func(p show.Printer) {
		p.Sources([]admin.Source{source, {Kind: "file", Name: "routes/nas.yaml", Served: true}, {Kind: "container", Name: "left", State: "stopped", Left: "its label portway.enable says false"}})
		p.Routes([]admin.RouteDetail{detail, {Route: admin.Route{Name: "nas", Hosts: []string{"nas.lan"}, Path: "/x", HTTPS: "off"}, PathKind: "exact"}})
		p.Sources(nil)
		p.Routes(nil)
	})
	golden(t, "lines", func(p show.Printer) {
		p.Line(admin.Line{Time: day, Level: "WARN", Message: "request failed", Attrs: map[string]any{"path": "/a b\x1b[31m", "status": 502, "empty": ""}})
	})
	golden(t, "live", func(p show.Printer) {
		p.Live(&show.Live{
			URL: "https://a.test/", Status: 301, Protocol: "HTTP/2.0", TotalMS: 12.25, Location: "https://a.test/", Loop: true,
			Steps: []show.Step{{"DNS", 1, "192.0.2.1"}, {"TLS", 2.5, "TLS 1.3"}},
			Hops:  []admin.Hop{{Upstream: "a-1", ConnectMS: 0.5, FirstByteMS: 3, Status: 301}, {Upstream: "a-2", Error: "refused"}},
		})
	})
}

// On a terminal there are colours, and nothing else that a terminal follows.
func TestColours(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	show.Printer{Out: &b, Colour: true}.Sources([]admin.Source{source})
	if got := b.String(); !strings.Contains(got, "\x1b[1mblog-web-1\x1b[0m") {
		t.Errorf("%q", got)
	}
}
