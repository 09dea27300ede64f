package discovery

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// keyed is a binder with a secret.
type keyed struct{ key string }

func (m *keyed) Labels(s *label.Set) {
	s.String(&m.key, "key", "", "Key.", label.Secret())
}

// A secret's file that changes, comes or goes has effect on the routes that use it,
// of containers and files, by label, by bundle and by default, and on no other. While
// it is not there or empty, the last good version stays.
func TestSecretFileChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(path("routes"), 0o700))
	write(t, path("key"), "one\n")
	write(t, path("routes/a.yaml"), "nas: {host: nas.test, key: 'file:"+path("key")+"', to: http://192.0.2.1}\n"+
		"other: {host: other.test, key: plain, to: http://192.0.2.1}\n")
	f := newFakeEngine()
	f.put(newContainer("label", "portway.host=label.test", "portway.key=file:"+path("key")),
		newContainer("bundle", "portway.host=bundle.test", "portway.use=b"),
		newContainer("define", "portway.bundle.b.key=file:"+path("key")),
		newContainer("default", "portway.host=default.test"),
		newContainer("own", "portway.host=own.test", "portway.key=own"))
	ts := start(t, Config{
		Engine: f, Static: path("routes"), Defaults: label.Values{"key": "file:" + path("later")},
		Middleware: func() []label.Binder { return []label.Binder{&keyed{}} },
	})
	ts.limit = pollEvery / 2
	want := func(text string, problems int) *route.Table {
		t.Helper()
		return ts.until(text, func(table *route.Table) bool {
			var all []string
			for _, r := range table.Routes() {
				all = append(all, r.Hosts[0]+"="+r.Middleware[0].(*keyed).key)
			}
			slices.Sort(all)
			return strings.Join(all, " ") == text && len(table.Problems()) == problems
		})
	}
	want("bundle.test=one label.test=one nas.test=one other.test=plain own.test=own", 1)
	write(t, path("later"), "later") // the folder tells
	before := want("bundle.test=one default.test=later label.test=one nas.test=one other.test=plain own.test=own", 0)

	write(t, path("key"), "two") // in place
	after := want("bundle.test=two default.test=later label.test=two nas.test=two other.test=plain own.test=own", 0)
	for _, r := range after.Routes() {
		if r.Name != "own" && r.Name != "other" {
			continue
		}
		if !slices.ContainsFunc(before.Routes(), func(old *route.Route) bool { return old.Middleware[0] == r.Middleware[0] }) {
			t.Errorf("route %s is made anew, though it has no secret in a file", r.Name)
		}
	}
	write(t, path("tmp"), "three")
	must(t, os.Rename(path("tmp"), path("key"))) // replaced
	want("bundle.test=three default.test=later label.test=three nas.test=three other.test=plain own.test=own", 0)
	must(t, os.Remove(path("key")))
	want("bundle.test=three default.test=later label.test=three nas.test=three other.test=plain own.test=own", 3)
	write(t, path("key"), "")
	write(t, path("key"), "four")
	want("bundle.test=four default.test=later label.test=four nas.test=four other.test=plain own.test=own", 0)
}
