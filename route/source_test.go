package route_test

import (
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
