//go:build record

package discovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/rogpeppe/go-internal/txtar"

	"portway/internal/dockertest"
)

// TestRecord makes the containers of each scenario on the real engine and writes
// what the engine says about them into the golden file of the same name, whose
// other parts stay. It is a tool that uses what tests use, so that it is built with
// its tag only:
//
//	go test -tags=record -run=TestRecord ./discovery
//	go test -run=TestGolden -update ./discovery
//
// Then read the difference.
func TestRecord(t *testing.T) {
	e := dockertest.Require(t)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			r := &recorder{T: t, engine: e, image: e.Image(t, dockertest.Origin)}
			s.make(r)
			r.write("testdata/"+s.name+".txtar", s.why)
		})
	}
}

// recorder makes one scenario. Names in it are short; on the engine they are
// unique, and made short again in the record.
type recorder struct {
	*testing.T
	engine *dockertest.Engine
	image  string
	names  []string // pairs: as on the engine, short
	made   []*dockertest.Container
	short  []string
}

func (r *recorder) network(short string) string {
	name := r.engine.Network(r.T)
	r.names = append(r.names, name, short)
	return name
}

func (r *recorder) run(short string, s dockertest.Spec, labels ...string) *dockertest.Container {
	c := r.create(short, s, labels...)
	c.Start(r.T)
	return c
}

func (r *recorder) create(short string, s dockertest.Spec, labels ...string) *dockertest.Container {
	s.Image, s.Name = r.image, dockertest.Name(short)
	if s.Labels == nil {
		s.Labels = make(map[string]string)
	}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		s.Labels[k] = v
	}
	c := r.engine.Create(r.T, s)
	r.names = append(r.names, s.Name, short)
	r.made, r.short = append(r.made, c), append(r.short, short)
	return c
}

func (r *recorder) write(file, why string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		a = &txtar.Archive{Files: []txtar.File{{Name: "want"}}}
	}
	a.Comment = []byte(why + "\n\n")
	var files []txtar.File
	list := r.get("/containers/json?all=1")
	var all []map[string]any
	if err := json.Unmarshal(list, &all); err != nil {
		r.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(s map[string]any) bool {
		return !slices.ContainsFunc(r.made, func(c *dockertest.Container) bool { return c.ID == s["Id"] })
	})
	for _, item := range all {
		prune(item)
	}
	files = append(files, txtar.File{Name: "list.json", Data: r.text(all)})
	for i, c := range r.made {
		var answer map[string]any
		if err := json.Unmarshal(r.get("/containers/"+c.ID+"/json"), &answer); err != nil {
			r.Fatal(err)
		}
		prune(answer)
		files = append(files, txtar.File{Name: r.short[i] + ".json", Data: r.text(answer)})
	}
	for _, f := range a.Files {
		if !strings.HasSuffix(f.Name, ".json") {
			files = append(files, f)
		}
	}
	a.Files = files
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		r.Fatal(err)
	}
}

// get returns the engine's own bytes, of which the client would drop some.
func (r *recorder) get(path string) []byte {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://docker/v1.41"+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	resp, err := r.engine.HTTPClient().Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		r.Fatal(resp.Status, err)
	}
	return b.Bytes()
}

// irrelevant is what makes records long, and tells about the machine.
var irrelevant = []string{
	"GraphDriver", "Mounts", "Args", "Path", "LogPath", "ResolvConfPath", "HostnamePath", "HostsPath", "SandboxKey",
	"Env", "Log", "Driver", "ProcessLabel", "MountLabel", "AppArmorProfile", "ImageID", "EndpointID", "SandboxID", "MacAddress",
}

func (r *recorder) text(v any) []byte {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		r.Fatal(err)
	}
	return append([]byte(strings.NewReplacer(append(r.names, r.image, "origin:1")...).Replace(string(text))), '\n')
}

func prune(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			prune(x)
		}
	case map[string]any:
		for _, k := range irrelevant {
			delete(v, k)
		}
		delete(v, dockertest.Label)
		if h, ok := v["HostConfig"].(map[string]any); ok {
			for k := range h {
				if k != "NetworkMode" && k != "PortBindings" && k != "RestartPolicy" {
					delete(h, k)
				}
			}
		}
		for _, x := range v {
			prune(x)
		}
	}
}

// scenarios is what is recorded, by the name of the golden file.
var scenarios = []struct {
	name string
	why  string
	make func(r *recorder)
}{
	{"host-single", `The quickstart's shape with Portway on the host itself: one label is a site. The container's
address on its bridge is used, and the port that its image exposes. A container without labels is
not even asked about.`, func(r *recorder) {
		r.run("whoami", dockertest.Spec{Expose: []string{"80"}}, "portway.host=whoami.localhost")
		r.run("db", dockertest.Spec{Expose: []string{"5432"}})
	}},
	{"host-several-networks", `On several networks, none is better than another: a guess would be random, so the container with no
other way is reported with the candidates. A published port is a way that works whatever the network.`, func(r *recorder) {
		both := []string{r.network("back"), r.network("front")}
		r.run("ambiguous", dockertest.Spec{Networks: both, Expose: []string{"80"}}, "portway.host=ambiguous.test")
		r.run("published", dockertest.Spec{Networks: both, Publish: []string{"127.0.0.1:18123:80"}}, "portway.host=published.test")
		r.run("explicit", dockertest.Spec{Networks: both, Expose: []string{"80"}}, "portway.host=explicit.test", "portway.network="+both[1])
		r.run("unknown", dockertest.Spec{Networks: both, Expose: []string{"80"}}, "portway.host=unknown.test", "portway.network=missing")
	}},
	{"ports", `Which port: the label, else the only exposed TCP port (UDP does not count), else the only published one,
else a Problem that names the candidates. One container may have several routes to several ports.`, func(r *recorder) {
		r.run("none", dockertest.Spec{}, "portway.host=none.test")
		r.run("udp-only", dockertest.Spec{Expose: []string{"53/udp"}}, "portway.host=udp.test")
		r.run("several", dockertest.Spec{Expose: []string{"80", "8080", "53/udp"}}, "portway.host=several.test")
		r.run("published", dockertest.Spec{Expose: []string{"80", "8080"}, Publish: []string{"127.0.0.1:18124:8080"}}, "portway.host=published.test")
		r.run("explicit", dockertest.Spec{Expose: []string{"80", "8080"}}, "portway.host=explicit.test", "portway.port=9000", "portway.scheme=h2c")
		r.run("two-routes", dockertest.Spec{Expose: []string{"80", "8080"}}, "portway.web.host=two.test", "portway.web.port=80", "portway.api.host=two.test", "portway.api.path=/api")
	}},
	{"inside-shared-network", `Portway in a container reaches others over networks that both are on. What it cannot reach says so,
with the networks of both sides; of several shared ones, Compose's first is taken, or else none.
A container on the host's network is reached by the gateway of one of Portway's networks.`, func(r *recorder) {
		front, back, other := r.network("front"), r.network("back"), r.network("other")
		expose := []string{"80"}
		r.run("portway", dockertest.Spec{Networks: []string{front, back}})
		r.run("shared", dockertest.Spec{Networks: []string{other, front}, Expose: expose}, "portway.host=shared.test")
		r.run("foreign", dockertest.Spec{Networks: []string{other}, Expose: expose}, "portway.host=foreign.test")
		r.run("ambiguous", dockertest.Spec{Networks: []string{front, back}, Expose: expose}, "portway.host=ambiguous.test")
		r.run("composed", dockertest.Spec{Networks: []string{back, front}, Expose: expose, Labels: dockertest.Compose("p", "composed", 1, nil)}, "portway.host=composed.test")
		r.run("explicit", dockertest.Spec{Networks: []string{front, back}, Expose: expose}, "portway.host=explicit.test", "portway.network="+back)
		r.run("not-ours", dockertest.Spec{Networks: []string{front, other}, Expose: expose}, "portway.host=not-ours.test", "portway.network="+other)
		r.run("no-network", dockertest.Spec{Mode: "none", Expose: expose}, "portway.host=no-network.test")
		r.run("host-network", dockertest.Spec{Mode: "host", Expose: expose}, "portway.host=host-network.test")
	}},
	{"inside-compose-short-name", `Compose calls the network blog_front what its file calls front: portway.network takes both.`, func(r *recorder) {
		// Compose names networks after the project; people know the short name.
		name := r.network("blog_front")
		r.names[len(r.names)-1] = "blog_front"
		back := r.network("blog_back")
		r.run("portway", dockertest.Spec{Networks: []string{name, back}})
		r.run("web", dockertest.Spec{Networks: []string{back, name}, Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web", 1, nil)}, "portway.host=blog.test", "portway.network=front")
	}},
	{"portway-on-host-network", `Portway as a container on the host's network is as good as on the host: the address of a
container on the default bridge, and loopback for others on the host's network.`, func(r *recorder) {
		r.run("portway", dockertest.Spec{Mode: "host"})
		r.run("bridged", dockertest.Spec{Expose: []string{"80"}}, "portway.host=bridged.test")
		r.run("host-network", dockertest.Spec{Mode: "host"}, "portway.host=host-network.test", "portway.port=8123")
	}},
	{"container-network", `network_mode: service:vpn puts a container into the network of another, which has the addresses and
the published ports. Where the other one is gone, nothing can be reached.`, func(r *recorder) {
		vpn := r.run("vpn", dockertest.Spec{Publish: []string{"127.0.0.1:18125:8080"}})
		r.run("behind", dockertest.Spec{Mode: "container:" + vpn.ID, Cmd: []string{":8080"}}, "portway.host=behind.test")
		gone := r.run("gone", dockertest.Spec{})
		r.run("orphan", dockertest.Spec{Mode: "container:" + gone.ID, Cmd: []string{":81"}}, "portway.host=orphan.test", "portway.port=80")
		gone.Remove(r.T)
		r.made, r.short = slices.Delete(r.made, 2, 3), slices.Delete(r.short, 2, 3)
	}},
	{"compose-replicas", `Replicas of a Compose service share one route, with upstreams in a stable order; a stopped one stays
known. A container of docker compose run has all labels of its service, and must get no requests.`, func(r *recorder) {
		for i := 1; i <= 3; i++ {
			c := r.run(fmt.Sprintf("blog-web-%d", i), dockertest.Spec{Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web", i, nil)}, "portway.host=blog.test")
			if i == 3 {
				c.Stop(r.T)
			}
		}
		labels := dockertest.Compose("blog", "web", 1, nil)
		labels["com.docker.compose.oneoff"] = "True"
		r.run("blog-web-run-1", dockertest.Spec{Expose: []string{"80"}, Labels: labels}, "portway.host=blog.test")
	}},
	{"swarm-replicas", `Tasks of a Swarm service share a route as replicas of a Compose service do. (Recorded from plain
containers with Swarm's labels.)`, func(r *recorder) {
		for i := 1; i <= 2; i++ {
			r.run(fmt.Sprintf("shop_web.%d", i), dockertest.Spec{Expose: []string{"80"}, Labels: map[string]string{
				"com.docker.swarm.service.name": "shop_web", "com.docker.stack.namespace": "shop",
			}}, "portway.host=shop.test")
		}
	}},
	{"states", `Containers that cannot be given requests stay known with the reason, so that a client gets 503 and not 404.`, func(r *recorder) {
		spec := func(change func(*dockertest.Spec)) dockertest.Spec {
			s := dockertest.Spec{Expose: []string{"80"}}
			if change != nil {
				change(&s)
			}
			return s
		}
		r.create("created", spec(nil), "portway.host=created.test")
		r.run("paused", spec(nil), "portway.host=paused.test").Pause(r.T)
		r.run("exited", spec(nil), "portway.host=exited.test").Stop(r.T)
		r.run("killed", spec(nil), "portway.host=killed.test").Kill(r.T, "KILL")
		r.run("starting", spec(func(s *dockertest.Spec) { s.Health = dockertest.HealthEvery(3600e9) }), "portway.host=starting.test")
		sick := func(s *dockertest.Spec) {
			s.Health = &container.HealthConfig{Test: []string{"CMD", "/missing"}, Interval: 50e6, Retries: 1}
		}
		r.run("unhealthy", spec(sick), "portway.host=unhealthy.test")
		well := func(s *dockertest.Spec) { s.Health = dockertest.HealthEvery(100e6) }
		r.run("healthy", spec(well), "portway.host=healthy.test")
		loop := func(s *dockertest.Spec) { s.Cmd, s.Restart = []string{"not-an-address"}, container.RestartPolicyAlways }
		r.run("looping", spec(loop), "portway.host=looping.test")
		r.settle("unhealthy", func(c container.InspectResponse) bool { return c.State.Health.Status == container.Unhealthy })
		r.settle("healthy", func(c container.InspectResponse) bool { return c.State.Health.Status == container.Healthy })
		r.settle("looping", func(c container.InspectResponse) bool { return c.State.Restarting && c.RestartCount > 3 })
		r.settle("killed", func(c container.InspectResponse) bool { return !c.State.Running })
	}},
	{"bad-labels", `A label that cannot be used may be a misspelt protection: its route is rejected, with what to type
instead; where it is not clear which route was meant, all of that container. Others go on.`, func(r *recorder) {
		expose := dockertest.Spec{Expose: []string{"80"}}
		r.run("good", expose, "portway.host=good.test")
		r.run("misspelt", expose, "portway.hots=misspelt.test")
		r.run("prefix", expose, "portaway.host=prefix.test")
		r.run("bad-port", expose, "portway.host=bad-port.test", "portway.port=http")
		r.run("half", expose, "portway.host=half.test", "portway.api.host=api.half.test", "portway.api.scheme=gopher")
		r.run("no-host", expose, "portway.path=/api")
	}},
	{"bad-label-in-new-replica", `A replica with a bad label is reported, and the replicas from before keep the site going.`, func(r *recorder) {
		r.run("blog-web-1", dockertest.Spec{Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web", 1, nil)}, "portway.host=blog.test")
		r.run("blog-web-2", dockertest.Spec{Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web", 2, nil)}, "portway.host=blog.test", "portway.prot=80")
	}},
	{"replicas-disagree", `Replicas of one service with different labels cannot serve one route together: the newest labels with
a replica that is ready win, and the others are told.`, func(r *recorder) {
		for i, host := range []string{"old.test", "old.test", "new.test"} {
			r.run(fmt.Sprintf("blog-web-%d", i+1), dockertest.Spec{Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web", i+1, nil)}, "portway.host="+host)
		}
	}},
	{"replica-with-new-labels-not-started", `Compose creates the successor before it stops the present one. Labels of a container that
never ran do not take the site away.`, func(r *recorder) {
		r.run("blog-web-1", dockertest.Spec{Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web", 1, nil)}, "portway.host=old.test")
		r.create("1234_blog-web-1", dockertest.Spec{Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web", 1, nil)}, "portway.host=new.test")
	}},
	{"duplicates", `A host and path can be served by one route only: static files first, then the older container; the
newcomer is told by whom. One that runs goes before one that is stopped. Another path is no conflict.`, func(r *recorder) {
		expose := dockertest.Spec{Expose: []string{"80"}}
		r.run("first", expose, "portway.host=app.test,first.test")
		r.run("second", expose, "portway.host=app.test,second.test")
		r.run("third", expose, "portway.host=app.test")
		r.run("api", expose, "portway.host=app.test", "portway.path=/api")
		r.run("stopped", expose, "portway.host=second-life.test").Stop(r.T)
		r.run("running", expose, "portway.host=second-life.test")
		r.run("against-file", expose, "portway.host=nas.test")
	}},
	{"bundles", `Bundles are defined on any container, or in a file, and taken by name: in order, the route's own labels
win. A name that nobody defines, and a definition with a mistake, reject who uses them: it may be a protection.
Who defined a name first keeps it.`, func(r *recorder) {
		expose := dockertest.Spec{Expose: []string{"80"}}
		r.run("shared", dockertest.Spec{}, "portway.bundle.internal.tags=one,two", "portway.bundle.up.health.path=/up",
			"portway.bundle.broken.tgas=x", "portway.bundle.site.host=site.test", "portway.bundle.tls.https=only")
		r.run("user", expose, "portway.host=user.test", "portway.use=internal, up, tls",
			"portway.api.host=api.user.test", "portway.api.use=internal", "portway.api.tags=own", "portway.bare.host=bare.user.test")
		r.run("of-file", expose, "portway.host=of-file.test", "portway.use=up, from-file")
		r.run("typo", expose, "portway.host=typo.test", "portway.use=internel", "portway.more.host=more.typo.test")
		r.run("unknown", expose, "portway.host=unknown.test", "portway.use=nothing-like-it,")
		r.run("broken", expose, "portway.host=broken.test", "portway.use=broken")
		r.run("newcomer", expose, "portway.bundle.internal.tags=other", "portway.bundle.up.health.path=/up", "portway.host=newcomer.test", "portway.use=internal")
		r.run("misspelt", expose, "portway.host=misspelt.test", "portway.bundel.internal.tags=x")
		r.run("incomplete", expose, "portway.host=incomplete.test", "portway.bundle.internal=x")
	}},
	{"defaults", `Defaults count for all routes that do not say otherwise, bundles before them. (The port of a route, and
what a detail is a detail of, are no matter of defaults.)`, func(r *recorder) {
		expose := dockertest.Spec{Expose: []string{"80"}}
		r.run("plain", expose, "portway.host=plain.test", "portway.bundle.mine.tags=bundle")
		r.run("own", expose, "portway.host=own.test", "portway.tags=own", "portway.https=redirect")
		r.run("bundle", expose, "portway.host=bundle.test", "portway.use=mine")
		r.run("without", expose, "portway.host=without.test", "portway.defaults=false")
	}},
	{"default-host", `With the setting default-host, a container that is to be served and names no host gets one, made of its
service. It is always one level below: neither "_" nor a dot of a name is in it.`, func(r *recorder) {
		expose := dockertest.Spec{Expose: []string{"80"}}
		for i := range 2 {
			r.run(fmt.Sprintf("blog-web_app-%d", i+1), dockertest.Spec{Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web_app", i+1, nil)}, "portway.enable=true")
		}
		r.run("My.Tool_1", expose, "portway.enable=true")
		r.run("with-port", expose, "portway.port=8080", "portway.tags=x")
		r.run("with-host", expose, "portway.enable=true", "portway.host=own.test")
		r.run("named", expose, "portway.enable=true", "portway.api.host=api.test")
		r.run("guarded", expose, "portway.tags=x", "portway.api.host=guarded.test")
		r.run("bundle-only", expose, "portway.bundle.x.tags=y")
		r.run("unlabelled", expose)
		r.run("_", expose, "portway.enable=true")
	}},
	{"default-host-container", `With {container} in it, each replica is a site of its own. A container without what the rule needs is
told.`, func(r *recorder) {
		for i := range 2 {
			r.run(fmt.Sprintf("blog-web-%d", i+1), dockertest.Spec{Expose: []string{"80"}, Labels: dockertest.Compose("blog", "web", i+1, nil)}, "portway.enable=true")
		}
		r.run("alone", dockertest.Spec{Expose: []string{"80"}}, "portway.enable=true")
	}},
	{"enable", `A container can opt out, whatever else its labels say, and switch off one of its routes. Without a default
host, enable alone lacks one.`, func(r *recorder) {
		expose := dockertest.Spec{Expose: []string{"80"}}
		r.run("out", expose, "portway.enable=false", "portway.host=out.test", "portway.hots=out.test", "portway.bundle.x.tags=y")
		r.run("half", expose, "portway.host=half.test", "portway.api.host=api.half.test", "portway.api.enable=false")
		r.run("on", expose, "portway.host=on.test", "portway.enable=true", "portway.api.host=api.on.test", "portway.api.enable=true")
		r.run("alone", expose, "portway.enable=true")
		r.run("maybe", expose, "portway.host=maybe.test", "portway.enable=no")
		r.run("user", expose, "portway.host=user.test", "portway.use=x")
	}},
	{"constraint", `With constraints, only containers whose labels fulfil all of them are this instance's. Others are
invisible: no routes, no Problems, no bundles.`, func(r *recorder) {
		expose := dockertest.Spec{Expose: []string{"80"}}
		r.run("blue", expose, "team=blue", "portway.host=blue.test")
		r.run("green", expose, "team=green", "portway.host=green.test")
		r.run("none", expose, "portway.hots=none.test", "portway.bundle.x.tags=y")
		r.run("blue-internal", expose, "team=blue", "internal=", "portway.host=internal.test")
		r.run("blue-old", expose, "team=blue", "stage=old", "portway.host=old.test")
		r.run("blue-new", expose, "team=blue", "stage=new", "portway.host=new.test", "portway.use=x")
	}},
	{"garbage-for-one", `An engine that answers garbage about one container leaves out only that one, and the Problem says so.
(sick.json is not recorded.)`, func(r *recorder) {
		r.run("well", dockertest.Spec{Expose: []string{"80"}}, "portway.host=well.test")
		r.run("sick", dockertest.Spec{Expose: []string{"80"}}, "portway.host=sick.test")
	}},
}

// settle waits for what no event tells.
func (r *recorder) settle(short string, ok func(container.InspectResponse) bool) {
	i := slices.Index(r.short, short)
	waitFor(r.T, short, func() bool { return ok(r.made[i].Inspect(r.T)) })
}
