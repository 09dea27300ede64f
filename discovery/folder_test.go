package discovery

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portway/route"
)

// site is a static file with one route.
func site(host string) string { return "r: {host: " + host + ", to: http://192.0.2.1}\n" }

func hostsOf(t *route.Table) []string {
	var all []string
	for _, r := range t.Routes() {
		all = append(all, r.Hosts...)
	}
	return all
}

// watchFolder is for tests in which no change may wait for the next poll.
func watchFolder(t *testing.T, dir string) *tables {
	ts := start(t, Config{Static: dir})
	ts.limit = pollEvery / 2
	return ts
}

// hosts waits for a table with exactly these hosts and no Problem.
func (ts *tables) hosts(want ...string) *route.Table {
	ts.tb.Helper()
	return ts.until("with "+strings.Join(want, ", "), func(t *route.Table) bool {
		return slices.Equal(hostsOf(t), want) && len(t.Problems()) == 0
	})
}

// problem waits for a table with exactly these hosts and a Problem.
func (ts *tables) problem(text string, want ...string) {
	ts.tb.Helper()
	ts.until("with the problem "+text, func(t *route.Table) bool {
		return slices.Equal(hostsOf(t), want) && len(t.Problems()) > 0 && strings.Contains(t.Problems()[0].String(), text)
	})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Files that come, change, go, and are replaced as editors do it.
func TestStaticFilesChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	write(t, file, site("one.test"))
	ts := watchFolder(t, dir)
	ts.hosts("one.test")

	write(t, file, site("two.test")) // in place, as from a shell
	ts.hosts("two.test")

	write(t, file+".tmp", site("three.test"))
	must(t, os.Rename(file+".tmp", file)) // atomically, as Portway itself would
	ts.hosts("three.test")

	must(t, os.Rename(file, file+"~")) // with a backup, as vim does
	write(t, file, site("four.test"))
	ts.hosts("four.test")

	write(t, filepath.Join(dir, "b.yml"), site("five.test"))
	ts.hosts("four.test", "five.test")
	must(t, os.Remove(file))
	ts.hosts("five.test")
}

// What cannot be used leaves the last good version of the file, or of the
// route, in force.
func TestStaticLastGoodVersionStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	write(t, file, site("one.test"))
	write(t, filepath.Join(dir, "b.yaml"), site("other.test"))
	ts := watchFolder(t, dir)
	ts.hosts("one.test", "other.test")

	write(t, file, "r: {host: one.test, to: [http://192.0.2.1") // half-written
	ts.problem("stays in force", "one.test", "other.test")
	write(t, file, site("two.test"))
	ts.hosts("two.test", "other.test")

	write(t, file, "r: {host: two.test, https: of, to: http://192.0.2.1}\nmore: {host: more.test, to: http://192.0.2.1}\n")
	ts.problem(`a.yaml:1: r.https: "of" is not known here`, "two.test", "more.test", "other.test")

	must(t, os.Remove(file))
	must(t, os.Mkdir(file, 0o700))
	ts.problem("it is no regular file", "two.test", "more.test", "other.test")
	must(t, os.Remove(file))
	ts.hosts("other.test")

	must(t, os.Rename(dir, dir+"-away"))
	ts.problem("cannot be read", "other.test")
	must(t, os.Rename(dir+"-away", dir))
	ts.hosts("other.test")
	write(t, filepath.Join(dir, "b.yaml"), site("still-watched.test"))
	ts.hosts("still-watched.test")
}

// A folder that comes later is found, however much of its path is missing.
func TestStaticFolderComesLater(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "etc", "routes")
	ts := watchFolder(t, dir)
	ts.hosts()
	must(t, os.Mkdir(filepath.Join(top, "etc"), 0o700))
	must(t, os.Mkdir(dir, 0o700))
	write(t, filepath.Join(dir, "a.yaml"), site("late.test"))
	ts.hosts("late.test")
}

// Kubernetes mounts files as links to ..data/file, and swaps the link ..data.
func TestStaticSymlinkSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(name, host string) {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		write(t, filepath.Join(dir, name, "a.yaml"), site(host))
		must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..2026_01", "one.test")
	must(t, os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(dir, "a.yaml")))
	ts := watchFolder(t, dir)
	ts.hosts("one.test")
	version("..2026_02", "two.test")
	must(t, os.RemoveAll(filepath.Join(dir, "..2026_01")))
	ts.hosts("two.test")
}

// Links to files elsewhere, and a folder that is a link itself, are followed to
// where the change happens.
func TestStaticLinks(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	for _, d := range []string{"shared", "v1", "v2"} {
		must(t, os.Mkdir(filepath.Join(top, d), 0o700))
	}
	target := filepath.Join(top, "shared", "target.yaml")
	write(t, target, site("one.test"))
	must(t, os.Symlink(target, filepath.Join(top, "v1", "a.yaml")))
	write(t, filepath.Join(top, "v2", "a.yaml"), site("three.test"))
	dir := filepath.Join(top, "routes")
	must(t, os.Symlink("v1", dir))
	ts := watchFolder(t, dir)
	ts.hosts("one.test")
	write(t, target+".tmp", site("two.test"))
	must(t, os.Rename(target+".tmp", target))
	ts.hosts("two.test")
	must(t, os.Symlink("v2", dir+".tmp"))
	must(t, os.Rename(dir+".tmp", dir))
	ts.hosts("three.test")
}

// A route that did not change is not made anew because another one of its file
// did: what Portway knows about it goes on.
func TestStaticUnchangedRouteStays(t *testing.T) {
	t.Parallel()
	w := taggedWatcher()
	read := func(text string) []*route.Route {
		got, ok := serveFile(w, text)
		if !ok || len(got.problems) > 0 {
			t.Fatal(got.problems)
		}
		return got.routes
	}
	before := read("a: {host: a.test, to: http://192.0.2.1}\nb: {host: b.test, to: http://192.0.2.1}\n")
	after := read("# new\nb: {host: b.test, to: http://192.0.2.2}\na: {to: [http://192.0.2.1], host: a.test}\n")
	if after[1] != before[0] || after[0] == before[1] {
		t.Error("the wrong one of two routes was made anew")
	}
}
