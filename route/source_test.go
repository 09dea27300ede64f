package route_test

import (
	"fmt"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// guarded has a secret.
type guarded struct{ users string }

func (g *guarded) Labels(s *label.Set) {
	s.String(&g.users, "basic-auth.users", "", "Users.", label.Secret())
}

// People are shown what labels say, but for secrets, and for what may be a misspelt one.
func TestSettingsHideSecrets(t *testing.T) {
	t.Parallel()
	p := route.NewParser(func() []label.Binder { return []label.Binder{&guarded{}} })
	const password = "joe:swordfish"
	got := p.Settings(map[string]string{
		"portway.host": "a.test", "portway.api.host": "b.test", "portway.bundle.x.basic-auth.users": password,
		"portway.basic-auth.users": password, "portway.api.basic-auth.users": password, "portway.basic-auth.usrs": password,
		"portaway.basic-auth.users": password, "other": "x",
	})
	want := []route.Setting{
		{Key: "portaway.basic-auth.users", Hidden: true},
		{Key: "portway.api.basic-auth.users", Option: "basic-auth.users", Hidden: true},
		{Key: "portway.api.host", Option: "host", Value: "b.test"},
		{Key: "portway.basic-auth.users", Option: "basic-auth.users", Hidden: true},
		{Key: "portway.basic-auth.usrs", Hidden: true},
		{Key: "portway.bundle.x.basic-auth.users", Option: "basic-auth.users", Hidden: true},
		{Key: "portway.host", Option: "host", Value: "a.test"},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	parsed := p.Values("f.yaml", "x", func(o string) string { return "x." + o }, label.Values{"host": "a.test", "basic-auth.users": password, "basic-auth.usrs": password})
	for _, s := range parsed.Settings {
		if s.Value == password || s.Option != "host" && !s.Hidden {
			t.Errorf("%+v", s)
		}
	}
}

// What a criterion says of a name that is that of a secret is hidden wherever people see it,
// and still tells criteria apart.
func TestCriteriaHideSecrets(t *testing.T) {
	t.Parallel()
	p := route.NewParser(nil)
	read := func(name, token string) route.Parsed {
		return p.Values("f.yaml", name, func(o string) string { return name + "." + o }, label.Values{
			"host": "a.test", "match.header": "X-Origin-Token: " + token + "\nX-Beta: yes", "match.query": "key=" + token, "match.cookie": "session=~" + token,
			"tls.on-demand.ask": "http://app/check?token=gudgeon", // routes of one host have the same
		})
	}
	var routes []*route.Route
	for i, parsed := range []route.Parsed{read("a", "swordfish"), read("b", "marlin")} {
		r := parsed.Route
		if r == nil {
			t.Fatal(parsed.Problems)
		}
		r.ID, r.Name = parsed.Name, parsed.Name
		r.Upstreams = []route.Upstream{{ID: parsed.Name, Address: "192.0.2.1:80", State: route.Ready}}
		routes = append(routes, r)
		shown := r.Match.String()
		for _, s := range parsed.Settings {
			shown += "\n" + s.Value
		}
		for _, secret := range []string{"swordfish", "marlin", "gudgeon"} {
			if strings.Contains(shown, secret) {
				t.Errorf("route %d shows %s:\n%s", i, secret, shown)
			}
		}
		for _, want := range []string{"x-origin-token:(hidden)", "x-beta:yes", "X-Origin-Token: (hidden)", "X-Beta: yes", "key=(hidden)", "session=(hidden)", "check?token=(hidden)"} {
			if !strings.Contains(shown, want) {
				t.Errorf("%q is missing in\n%s", want, shown)
			}
		}
	}
	table := route.NewTable(routes, nil)
	if problems := table.Problems(); len(problems) > 0 {
		t.Errorf("routes with different secrets are taken for equal: %v", problems)
	}
	for _, try := range table.Explain(&route.Request{Host: []byte("a.test"), Path: []byte("/"), Method: []byte("GET")}).Tried {
		for _, m := range try.Misses {
			if strings.Contains(m.Wants, "fish") || strings.Contains(m.Wants, "marlin") {
				t.Errorf("%+v", m)
			}
		}
	}
	if wrong := read("c", "swordfish("); len(wrong.Problems) == 0 || strings.Contains(fmt.Sprint(wrong.Problems), "fish") {
		t.Errorf("%v", wrong.Problems)
	}
}
