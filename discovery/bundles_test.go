package discovery

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/events"

	"portway/label"
	"portway/route"
)

func withTags(cfg Config) Config {
	cfg.Middleware = func() []label.Binder { return []label.Binder{&tagged{}} }
	return cfg
}

// stage is an engine with what comes of it.
type stage struct {
	*testing.T
	*fakeEngine
	*tables
}

func newStage(t *testing.T, cs ...*fakeContainer) *stage {
	f := newFakeEngine()
	f.put(cs...)
	s := &stage{t, f, start(t, withTags(Config{Engine: f}))}
	synctest.Wait()
	return s
}

func (s *stage) appear(cs ...*fakeContainer) {
	for _, c := range cs {
		s.put(c)
		s.event(c, events.ActionStart)
	}
	time.Sleep(time.Second)
	synctest.Wait()
}

func (s *stage) disappear(c *fakeContainer) {
	s.remove(c)
	s.event(c, events.ActionDestroy)
	time.Sleep(time.Second)
	synctest.Wait()
}

// tags gives the tags of the container's route, or "none" if it is not served.
func tags(t *route.Table, id string) string {
	for _, r := range t.Routes() {
		if r.ID == id {
			m := r.Middleware[0].(*tagged)
			return strings.Join(append(slices.Clone(m.tags), m.path), " ")
		}
	}
	return "none"
}

// want checks the tags of the route of container user, and that the only Problem
// has this in it, or that there is none.
func (s *stage) want(when, want, problem string) {
	s.Helper()
	table, _ := s.last()
	if got := strings.TrimSpace(tags(table, "container:user/default")); got != want {
		s.Errorf("%s: tags %q, want %q\n%s", when, got, want, dump(table))
	}
	all := table.Problems()
	if problem == "" && len(all) > 0 || problem != "" && (len(all) != 1 || !strings.Contains(all[0].String(), problem)) {
		s.Errorf("%s: problems %v, want one with %q", when, all, problem)
	}
}

// Bundles come and go with their containers. Who uses one is served only with it;
// what was good once goes on, until nobody uses it any more.
func TestBundleComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		user := newContainer("user", "portway.host=user.test", "portway.use=guard")
		s := newStage(t, user)
		s.want("nobody defines it", "none", `names "guard", which nobody defines`)
		near := newContainer("near", "portway.bundle.gaurd.tags=one")
		s.appear(near)
		s.want("there is one with another name", "none", "did you mean gaurd?")
		s.disappear(near)
		s.want("and it is gone", "none", "define it by labels portway.bundle.guard.<option>")
		define := newContainer("define", "portway.bundle.guard.tags=one")
		s.appear(define)
		s.want("it came", "one", "")
		s.disappear(define)
		s.want("it is gone", "one", `names "guard", which nobody defines any more; what it said last stays in force`)
		again := newContainer("user", "portway.host=user.test", "portway.use=guard")
		s.appear(again)
		s.disappear(user)
		s.want("the user was replaced meanwhile", "one", "stays in force")
		s.disappear(again)
		s.appear(newContainer("user", "portway.host=user.test", "portway.use=guard"))
		s.want("nobody used it for a while", "none", `names "guard", which nobody defines`)
	})
}

// A new version of the container that defines a bundle reaches all who use it, and
// nobody else; a mistake in it changes nothing.
func TestBundleChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v1 := newContainer("define", "portway.bundle.guard.tags=one")
		s := newStage(t, v1, newContainer("user", "portway.host=user.test", "portway.use=guard", "portway.health.path=/x"),
			newContainer("other", "portway.host=other.test"), newContainer("third", "portway.host=third.test", "portway.use=third", "portway.bundle.third.tags=x"))
		s.want("at first", "one /x", "")
		before, _ := s.last()

		v2 := newContainer("define-2", "portway.bundle.guard.tags=two")
		s.appear(v2)
		s.want("another one defines it otherwise", "one /x", `defines the bundle guard otherwise than container "define", which had the name first`)
		s.disappear(v1)
		s.want("the first is gone", "two /x", "")
		after, _ := s.last()
		for _, r := range after.Routes() {
			same := slices.ContainsFunc(before.Routes(), func(old *route.Route) bool { return old.Middleware[0] == r.Middleware[0] })
			if same == (r.Name == "user") {
				t.Errorf("route %s: parsed anew %v", r.Name, !same)
			}
		}

		v3 := newContainer("define-3", "portway.bundle.guard.tgas=three")
		s.appear(v3)
		s.disappear(v2)
		table, _ := s.last()
		text := dump(table)
		if tags(table, "container:user/default") != "two /x" || len(table.Problems()) != 2 ||
			!strings.Contains(text, `names "guard", which has a mistake in container "define-3"; what it said before stays in force`) ||
			!strings.Contains(text, "portway.bundle.guard.tgas: unknown label; did you mean portway.bundle.guard.tags?") {
			t.Errorf("a version with a mistake: %s", text)
		}

		s.appear(newContainer("define-4", "portway.bundle.guard.tags=no-health"))
		s.disappear(v3)
		s.want("it does not go with what the route says", "two /x", "portway.health.path: goes not with the tag no-health")
	})
}

// Replicas of one service define their bundles together.
func TestBundleOfReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var replicas []*fakeContainer
		for _, name := range []string{"web-1", "web-2"} {
			replicas = append(replicas, newContainer(name, "com.docker.compose.project=p", "com.docker.compose.service=web",
				"portway.host=web.test", "portway.bundle.guard.tags=one", "portway.use=guard"))
		}
		s := newStage(t, append(replicas, newContainer("user", "portway.host=user.test", "portway.use=guard"))...)
		s.want("both", "one", "")
		s.disappear(replicas[0])
		s.want("one of them is gone", "one", "")
		table, _ := s.last()
		if tags(table, "compose:p/web/default") != "one " {
			t.Error(dump(table))
		}
		// A one-off container has the labels of its service, and is none of it.
		s.appear(newContainer("run", "com.docker.compose.project=p", "com.docker.compose.service=web", "com.docker.compose.oneoff=True",
			"portway.bundle.guard.tags=other"))
		s.want("docker compose run", "one", "")
	})
}

// A file's bundles are for containers too, and go before theirs.
func TestBundleOfFile(t *testing.T) {
	t.Parallel()
	f := newFakeEngine()
	f.put(newContainer("user", "portway.host=user.test", "portway.use=guard"), newContainer("define", "portway.bundle.guard.tags=container"))
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	ts := start(t, withTags(Config{Engine: f, Static: dir}))
	ts.limit = pollEvery / 2
	until := func(want, problem string) {
		t.Helper()
		ts.until(want+" "+problem, func(table *route.Table) bool {
			return strings.TrimSpace(tags(table, "container:user/default")) == want && strings.Contains(dump(table), problem)
		})
	}
	until("container", "")
	write(t, file, "bundles: {guard: {tags: file}}\n")
	until("file", "defines the bundle guard otherwise than")
	write(t, file, "bundles: {guard: {tags: changed}}\nnas: {host: nas.test, use: guard, to: http://192.0.2.1}\n")
	until("changed", "nas.test")
	write(t, file, "bundles: {guard: {tgas: mistake}}\nnas: {host: nas.test, use: guard, to: http://192.0.2.1}\n")
	until("changed", "nas.use: names \"guard\", which has a mistake")
	write(t, file, "")
	until("container", "")
}

// A rejected bundle, use and default never makes a route lighter than what is
// written: whoever is served has all of it.
func FuzzBundles(f *testing.F) {
	f.Add("guard", "tags", "x", "guard", "tags", "y")
	f.Add("a.b", "health.path", "", "a,b", "health.path", "")
	f.Add("", "host", "x", " ", "use", "y")
	f.Add("x", "bundle.x.tags", "x", "x,x", "tgas", "y")
	f.Fuzz(func(t *testing.T, name, option, value, use, own, ownValue string) {
		p := route.NewParser(func() []label.Binder { return []label.Binder{&tagged{}} })
		labels := map[string]string{"portway.bundle." + name + "." + option: value, "portway.use": use, "portway.host": "a.test"}
		if own != "host" && own != "use" && own != "defaults" {
			labels["portway."+own] = ownValue
		}
		routes, problems := p.Labels("c", labels)
		for _, r := range routes {
			if r.Route == nil {
				if len(r.Problems) == 0 && len(problems) == 0 {
					t.Errorf("%v: route %q is rejected without a word", labels, r.Name)
				}
				continue
			}
			if m := r.Route.Middleware[0].(*tagged); r.Name == "" && option == "health.path" && name == use && own != "health.path" && m.path != strings.TrimSpace(value) {
				t.Errorf("%v: served with %q", labels, m.path)
			}
		}
	})
}

// However containers came and went, what is served is what a Portway that starts now
// would serve.
func TestBundlesWithoutMemory(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := newStage(t)
		pick := func(words ...string) string { return words[rng.IntN(len(words))] }
		var there []*fakeContainer
		made := 0
		add := func(labels ...string) {
			made++
			c := newContainer(fmt.Sprintf("c%d", made), labels...)
			there = append(there, c)
			s.put(c)
			s.event(c, events.ActionStart)
		}
		for step := range 150 {
			switch n := rng.IntN(10); {
			case n < 3:
				add("portway.bundle."+pick("a", "b", "c")+".tags="+pick("x", "y"), "portway.bundle."+pick("a", "b", "c")+".health.path="+pick("/x", "/y"))
			case n < 6:
				add(fmt.Sprintf("portway.host=h%d.test", step), "portway.use="+pick("a", "b", "c")+","+pick("a", "b", "c"), "portway.other.host=other.test")
			case n < 9 && len(there) > 0:
				i := rng.IntN(len(there))
				s.remove(there[i])
				s.event(there[i], events.ActionDestroy)
				there = slices.Delete(there, i, i+1)
			default:
				time.Sleep(time.Second)
			}
		}
		for _, name := range []string{"a", "b", "c"} { // else memory counts
			add("portway.bundle." + name + ".tags=last")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		got, _ := s.last()
		fresh := start(t, withTags(Config{Engine: s.fakeEngine}))
		synctest.Wait()
		want, _ := fresh.last()
		// Routes of a container are in the order in which they could first be served.
		a, b := slices.Sorted(strings.Lines(dump(got))), slices.Sorted(strings.Lines(dump(want)))
		if !slices.Equal(a, b) {
			i := 0
			for i < min(len(a), len(b))-1 && a[i] == b[i] {
				i++
			}
			t.Errorf("seed %d, line %d of %d and %d\n got: %s\nwant: %s", seed, i, len(a), len(b), a[i], b[i])
		}
	})
}
