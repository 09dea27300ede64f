package route_test

import (
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// preset has a detail that needs another option.
type preset struct{ Max, On, Sub string }

func (m *preset) Labels(s *label.Set) {
	s.String(&m.On, "hsts", "", "On.")
	s.String(&m.Max, "hsts.max-age", "", "Max.", label.Needs("hsts"))
	s.String(&m.Sub, "hsts.max-age.sub", "", "Sub.", label.Needs("hsts.max-age"))
}

// What a route says itself wins over what its bundles say, a later bundle over an
// earlier one, and defaults are for what is left.
func TestShared(t *testing.T) {
	t.Parallel()
	p := route.NewParser(func() []label.Binder { return []label.Binder{&preset{}} }).
		WithDefaults(label.Values{"hsts.max-age": "default", "hsts.max-age.sub": "default", "https": "only"})
	for _, tt := range []struct{ why, labels, want string }{
		{"a default for a detail is for those who have what it is of", "", "only on= max= sub="},
		{"a detail of the default", "portway.hsts=own", "only on=own max=default sub=default"},
		{"the route's own wins", "portway.hsts=own;portway.hsts.max-age=own;portway.https=off", "off on=own max=own sub=default"},
		{"a bundle before defaults", "portway.use=a;portway.bundle.a.hsts=a;portway.bundle.a.hsts.max-age=a", "only on=a max=a sub=default"},
		{"a later bundle", "portway.use=a, b;portway.bundle.a.hsts=a;portway.bundle.b.hsts=b", "only on=b max=default sub=default"},
		{"without defaults", "portway.defaults=false;portway.hsts=own", "redirect on=own max= sub="},
		{
			"a detail in a bundle may be of a protection that is missing", "portway.use=a;portway.bundle.a.hsts.max-age=a",
			"portway.hsts.max-age: from the bundle a of c: does nothing without portway.hsts; add portway.hsts, or remove this one",
		},
		{"a bundle that is not there", "portway.use=a", `portway.use: names "a", which this container does not define`},
	} {
		labels := map[string]string{"portway.host": "a.test"}
		for l := range strings.SplitSeq(tt.labels, ";") {
			if k, v, ok := strings.Cut(l, "="); ok {
				labels[k] = v
			}
		}
		routes, problems := p.Labels("c", labels)
		if len(routes) != 1 || len(problems) > 0 {
			t.Fatalf("%s: %v %v", tt.why, routes, problems)
		}
		got := ""
		for _, p := range routes[0].Problems {
			got += strings.TrimPrefix(p.String(), "c: ")
		}
		if r := routes[0].Route; r != nil {
			m := r.Middleware[0].(*preset)
			got += string(r.HTTPS) + " on=" + m.On + " max=" + m.Max + " sub=" + m.Sub
		}
		if got != tt.want {
			t.Errorf("%s\n got: %s\nwant: %s", tt.why, got, tt.want)
		}
	}
}

// The files that secrets are in are known, so that a change of them has effect.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	routes, _ := newParser().Labels("c", map[string]string{
		"portway.host": "a", "portway.use": "x", "portway.bundle.x.basic-auth.users": "file: /run/secrets/users", "portway.allow": "file:/not/a/secret",
	})
	if got := strings.Join(routes[0].Files, " "); got != "/run/secrets/users" {
		t.Errorf("files %q", got)
	}
}
