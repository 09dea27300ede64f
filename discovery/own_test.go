package discovery

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"portway/route"
)

// Routes that Portway writes itself are there with and without a folder of files, come
// first, and are told about like any file.
func TestOwnRoutes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.yaml"), []byte("a: {host: a.test, to: http://127.0.0.1:1}\nb: {host: board.test, to: http://127.0.0.1:1}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, static := range []string{"", folder} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var got *route.Table
		err := Watch(ctx, Config{
			Static: static,
			Own:    []Own{{Name: "setting x", Text: []byte("board: {host: board.test, https: off, to: unix:/run/x.sock}\nbad: {hots: x.test, to: unix:/run/x.sock}")}},
		}, func(table *route.Table) {
			got = table
			cancel()
		})
		if err != nil || got == nil {
			t.Fatal(err, got)
		}
		first := got.Routes()[0]
		if first.ID != "own:setting x/board" || first.Name != "board" || first.HTTPS != route.Off || first.Upstreams[0].Address != "/run/x.sock" || first.Hosts[0] != "board.test" {
			t.Errorf("%+v", first)
		}
		if x, _ := got.Lookup(&route.Request{Host: []byte("board.test"), Path: []byte("/")}); x != first {
			t.Errorf("static %q: board.test leads to %+v", static, x)
		}
		if !slices.ContainsFunc(got.Sources(), func(x *route.Source) bool { return x.Name == "setting x" && len(x.Parts) == 2 }) {
			t.Errorf("no source: %+v", got.Sources())
		}
		if p := got.Problems(); len(p) == 0 || p[0].Source != "setting x:2" {
			t.Errorf("%+v", p)
		}
		if want := map[string]int{"": 1, folder: 2}[static]; len(got.Routes()) < want {
			t.Errorf("%d routes", len(got.Routes()))
		}
	}
}
