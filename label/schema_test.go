package label_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"portway/label"
)

// read goes the whole way that discovery goes and lists what came out.
func read(labels map[string]string) string {
	var out []string
	groups, problems := label.Describe(&kit{}).Group("c", labels)
	for _, p := range problems {
		out = append(out, "all: "+p.String())
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		for _, option := range slices.Sorted(maps.Keys(groups[name])) {
			out = append(out, fmt.Sprintf("%q %s=%s", name, option, groups[name][option]))
		}
		for _, p := range label.Parse("c", func(o string) string { return label.Key(name, o) }, groups[name], &kit{}) {
			out = append(out, fmt.Sprintf("%q: %s", name, p))
		}
	}
	return strings.Join(out, "\n")
}

func TestGroup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		why    string
		labels map[string]string
		want   string
	}{
		{
			"labels of others are none of ours",
			map[string]string{
				"": "x", "traefik.http.routers.a.rule": "x", "com.docker.compose.project": "x", "host": "x", "gateway.host": "x",
				"parkway.host": "x", "portal.host": "x", "portway-exporter": "x", "portway_exporter_version": "x", "org.portway.host": "x",
				"portwei": "x", "port": "x",
			},
			"",
		},
		{
			"the default route and a named one",
			map[string]string{"portway.host": "a", "portway.health.wait": "1s", "portway.api.host": "b", "portway.api.health.wait": "2s"},
			`
"" health.wait=1s
"" host=a
"api" health.wait=2s
"api" host=b`,
		},
		{
			"a misspelt option rejects its own route only",
			map[string]string{"portway.hots": "a", "portway.api.host": "b"},
			`
"" hots=a
"": c: portway.hots: unknown label; did you mean portway.host?
"api" host=b`,
		},
		{
			"a misspelt option of a named route",
			map[string]string{"portway.api.hots": "a"},
			`
"api" hots=a
"api": c: portway.api.hots: unknown label; did you mean portway.api.host?`,
		},
		{
			"a misspelt first word of a dotted option is no route of that name",
			map[string]string{"portway.helth.wait": "1s", "portway.host": "a"},
			`
"" helth.wait=1s
"" host=a
"": c: portway.helth.wait: unknown label; did you mean portway.health.wait?`,
		},
		{
			"both words misspelt",
			map[string]string{"portway.helth.wiat": "1s"},
			`
"" helth.wiat=1s
"": c: portway.helth.wiat: unknown label; did you mean portway.health.wait?`,
		},
		{
			"a misspelt second word of a dotted option",
			map[string]string{"portway.health.wiat": "1s", "portway.api.health.wiat": "1s"},
			`
"" health.wiat=1s
"": c: portway.health.wiat: unknown label; did you mean portway.health.wait?
"api" health.wiat=1s
"api": c: portway.api.health.wiat: unknown label; did you mean portway.api.health.wait?`,
		},
		{
			"a route's name may resemble an option, if its labels say that it is a route",
			map[string]string{"portway.heath.host": "a", "portway.heath.port": "80"},
			`
"heath" host=a
"heath" port=80`,
		},
		{
			"an option's first word names no route",
			map[string]string{"portway.health.host": "a"},
			`
"" health.host=a
"": c: portway.health.host: unknown label; if health is meant to name a route, choose another name, since it is an option's`,
		},
		{
			"not even one that looks like a route, lest an option be taken away from the default route",
			map[string]string{"portway.health.max-body": "a", "portway.health.wait": "1s"},
			`
"" health.max-body=a
"" health.wait=1s
"": c: portway.health.max-body: unknown label; if health is meant to name a route, choose another name, since it is an option's`,
		},
		{
			"a dash for a dot, a part for the whole, the whole for a part",
			map[string]string{"portway.health-wait": "a", "portway.hostname": "a", "portway.max": "1"},
			`
"" health-wait=a
"" hostname=a
"" max=1
"": c: portway.health-wait: unknown label; did you mean portway.health.wait?
"": c: portway.hostname: unknown label; did you mean portway.host?
"": c: portway.max: unknown label; did you mean portway.max-body?`,
		},
		{
			"nothing is near",
			map[string]string{"portway.enable": "true"},
			`
"" enable=true
"": c: portway.enable: unknown label; remove it, or look it up in docs/labels.md`,
		},
		{
			"labels of another proxy with our prefix",
			map[string]string{"portway.http.routers.app.rule": "Host(`a`)"},
			`
"http" routers.app.rule=Host(` + "`a`" + `)
"http": c: portway.http.routers.app.rule: unknown label; remove it, or look it up in docs/labels.md`,
		},
		{
			"wrong case of an option",
			map[string]string{"portway.Host": "a"},
			`
"" Host=a
"": c: portway.Host: unknown label; did you mean portway.host?`,
		},
		{
			"a misspelt prefix could be about any route",
			map[string]string{"portwya.host": "a", "Portway.Api.Host": "a", "PORTWAY_HOST": "a", "PORTWAY_API_HOST": "a", "portway-max-body": "1", "portwy.api.hots": "a", "portways.x": "x", "portway": "x", "portway/port": "1"},
			`
all: c: PORTWAY_API_HOST: is not read: labels for Portway start with portway.; did you mean portway.api.host?
all: c: PORTWAY_HOST: is not read: labels for Portway start with portway.; did you mean portway.host?
all: c: Portway.Api.Host: is not read: labels for Portway start with portway.; did you mean portway.api.host?
all: c: portway: is not read: labels for Portway start with portway.; did you mean portway.<option>?
all: c: portway-max-body: is not read: labels for Portway start with portway.; did you mean portway.max-body?
all: c: portway/port: is not read: labels for Portway start with portway.; did you mean portway.port?
all: c: portways.x: is not read: labels for Portway start with portway.; did you mean portway.<option>?
all: c: portwy.api.hots: is not read: labels for Portway start with portway.; did you mean portway.api.host?
all: c: portwya.host: is not read: labels for Portway start with portway.; did you mean portway.host?`,
		},
		{
			"impossible names of routes",
			map[string]string{"portway.": "a", "portway..host": "a", "portway.My_App.hots": "a", "portway.a b.c": "a", "portway.a\nb.c": "a"},
			`
all: c: portway.: names no option; write portway.<option>, for example portway.host
all: c: portway..host: "" cannot name a route; use a-z, 0-9 and - for a route's name
all: c: portway.My_App.hots: "My_App" cannot name a route; use a-z, 0-9 and - for a route's name; did you mean portway.my-app.host?
all: c: "portway.a\nb.c": "a\nb" cannot name a route; use a-z, 0-9 and - for a route's name
all: c: "portway.a b.c": "a b" cannot name a route; use a-z, 0-9 and - for a route's name`,
		},
	} {
		if got := read(tt.labels); got != strings.TrimPrefix(tt.want, "\n") {
			t.Errorf("%s\n got:\n%s\nwant:%s", tt.why, got, tt.want)
		}
	}
}

// Static files have no prefix, and call an option an option.
func TestUnknownOptionInFile(t *testing.T) {
	t.Parallel()
	problems := label.Parse("routes/nas.yaml:7", strings.Clone, label.Values{"hots": "a"}, &kit{})
	if got, want := fmt.Sprint(problems), "[routes/nas.yaml:7: hots: unknown option; did you mean host?]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	candidates := []string{"host", "path", "port", "scheme", "network", "https", "max-body", "health.path", "health.interval"}
	for word, want := range map[string]string{
		"host":                       "host",
		"HOST":                       "host",
		"hosts":                      "host",
		"hots":                       "host",
		"hst":                        "host",
		"prot":                       "port",
		"paht":                       "path",
		"htpps":                      "https",
		"shceme":                     "scheme",
		"nework":                     "network",
		"net":                        "network",
		"max_body":                   "max-body",
		"maxbody":                    "max-body",
		"helth.path":                 "health.path",
		"health.inteval":             "health.interval",
		"healthcheck.path":           "",
		"x":                          "",
		"":                           "",
		"cats":                       "",
		"middlewares":                "",
		strings.Repeat("host", 1000): "",
	} {
		if got := label.Nearest(word, candidates); got != want {
			t.Errorf("%.40q is nearest to %q, want %q", word, got, want)
		}
	}
}
