package discovery

import (
	"fmt"
	"reflect"

	"portway/label"
	"portway/route"
)

// saw notes what people are told about a container; parts are what came of its
// routes. A table is due if that is news.
func (w *watcher) saw(e *entry, parts []route.Part) {
	s := e.snap
	made := &route.Source{
		ID: "container:" + e.id, Kind: route.Container, Name: s.name, Source: sourceOf(s.name), Service: s.title,
		Settings: s.settings, Parts: parts, Mode: s.net.mode, Exposed: s.net.exposed, Left: w.left(e),
	}
	made.State, made.Reason = e.state()
	for _, n := range s.net.networks {
		network := route.Network{Name: n.name, Shared: !w.vantage.inside || w.vantage.shares(n)}
		if n.ip.IsValid() {
			network.IP = n.ip.String()
		}
		made.Networks = append(made.Networks, network)
	}
	for _, b := range s.net.published {
		host := "*"
		if b.hostIP.IsValid() {
			host = b.hostIP.String()
		}
		made.Published = append(made.Published, fmt.Sprintf("%s->%d", join(host, b.host), b.port))
	}
	if e.source == nil || !reflect.DeepEqual(e.source, made) {
		e.source, w.dirty = made, true
	}
}

// left says why nothing of a container is to be served, where that is no mistake.
func (w *watcher) left(e *entry) string {
	switch s := e.snap; {
	case s.written.Off:
		return "its label portway.enable says false"
	case s.oneOff:
		return "a container of docker compose run is no replica of its service"
	case s.ours():
		return ""
	case e == w.self:
		return "it is Portway's own container"
	case len(s.written.Bundles) > 0:
		return "its labels only define bundles"
	case len(e.users) > 0:
		return "it has no label for Portway; other containers use its network"
	default:
		return "it is not among those that the setting constraint asks for, or it has no label that says anything"
	}
}

// sources lists all that was seen, without order.
func (w *watcher) sources() []*route.Source {
	all := make([]*route.Source, 0, len(w.entries)+len(w.serving.sources))
	all = append(all, w.serving.sources...)
	for _, e := range w.entries {
		switch {
		case e.source != nil:
			all = append(all, e.source)
		case e.problem != (label.Problem{}):
			all = append(all, &route.Source{
				ID: "container:" + e.id, Kind: route.Container, Name: e.name, Source: sourceOf(e.name), Service: e.name,
				State: route.Stopped, Reason: "the engine cannot tell about it",
			})
		}
	}
	return all
}

// sourceOfFile makes what people are told about a static file.
func (w *watcher) sourceOfFile(file *staticFile, name string) *route.Source {
	s := &route.Source{ID: "file:" + name, Kind: route.File, Name: name, Source: name, Service: name}
	for _, r := range file.routes {
		p := route.Part{Name: r.name, Settings: w.files[r.id].settings}
		if w.files[r.id].route != nil {
			p.RouteID = r.id
		}
		s.Parts = append(s.Parts, p)
	}
	return s
}
