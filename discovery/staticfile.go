package discovery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"portway/label"
	"portway/route"
)

// staticRoute is one route of a file, as written. It is never changed.
type staticRoute struct {
	id, name  string
	signature string // all that is written: equal for equal routes
	draft     route.Draft
	upstreams []route.Upstream
	broken    bool                    // its problems are among those of the file
	line      func(option string) int // where it is written, or 0 if that is reported already
}

// said is what a file says.
type said struct {
	source   string // for people, for example routes/nas.yaml
	routes   []*staticRoute
	bundles  []route.Bundle
	problems []lineProblem
}

// Words at the top of a file that name no route.
const (
	bundlesWord  = "bundles"
	defaultsWord = "defaults"
)

// toOption is the one option that only static routes have: where the origins are.
const toOption = "to"

// reader reads a static file.
type reader struct {
	said
	parser   *route.Parser
	id       string // start of the IDs of its routes
	bodies   []body
	defaults label.Values
	broken   bool // the defaults are
}

// body is a route that is still to be read, since defaults may come after it.
type body struct{ name, options *yaml.Node }

type lineProblem struct {
	line int
	label.Problem
}

// readText reads routes from YAML like
//
//	nas:
//	  host: nas.example.com
//	  to: [http://192.168.1.10:5000]
//
// where the options are those of labels; a dot may be written as a nested map,
// a list as a list. Beside routes there can be defaults for all of them, and
// bundles. ok is false if the file as a whole cannot be read, so that nothing is
// known about its routes.
func readText(p *route.Parser, source, id string, text []byte) (all said, ok bool) {
	r := &reader{said: said{source: source}, parser: p, id: id}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document yaml.Node
		switch err := decode(decoder, &document); {
		case errors.Is(err, io.EOF):
			for _, b := range r.bodies {
				r.route(b.name, b.options)
			}
			return r.said, true
		case err != nil:
			r.problems = []lineProblem{{0, label.Problem{
				Source: source, Why: "is no YAML: " + strings.TrimPrefix(oneLine(err), "yaml: "),
				Fix: "correct it; until then, what it said before stays in force",
			}}}
			return r.said, false
		}
		r.document(&document)
	}
}

// decode turns a panic of the YAML library, which has had some for odd input,
// into an error.
func decode(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: cannot be read: %v", p)
		}
	}()
	return d.Decode(n)
}

func (r *reader) report(n *yaml.Node, key, why, fix string) {
	r.reportAt(n.Line, label.Problem{Key: key, Why: why, Fix: fix})
}

func (r *reader) reportAt(line int, p label.Problem) {
	p.Source = fmt.Sprintf("%s:%d", r.source, line)
	r.problems = append(r.problems, lineProblem{line, p})
}

func (r *reader) document(document *yaml.Node) {
	if len(document.Content) == 0 {
		return
	}
	top := document.Content[0]
	if top.Tag == "!!null" {
		return
	}
	if top.Kind != yaml.MappingNode {
		r.report(top, "", "is no map of route names to options", "write it like nas: {host: nas.example.com, to: http://192.168.1.10:5000}")
		return
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		name, options := top.Content[i], follow(top.Content[i+1])
		switch {
		case name.Value == "" || strings.Trim(name.Value, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			r.report(name, "", label.Quote(name.Value)+" cannot name a route", "use a-z, 0-9 and -")
		case slices.ContainsFunc(r.bodies, func(b body) bool { return b.name.Value == name.Value }):
			r.report(name, "", "the route "+name.Value+" is there twice in this file", "give one of them another name")
		case name.Value == defaultsWord:
			r.readDefaults(name, options)
		case name.Value == bundlesWord:
			r.readBundles(name, options)
		case options.Kind != yaml.MappingNode:
			r.report(name, "", "the route "+name.Value+" has no options", "give it a host and a to")
		default:
			r.bodies = append(r.bodies, body{name, options})
		}
	}
}

// follow resolves *alias.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// route reads one route.
func (r *reader) route(name, body *yaml.Node) {
	before := len(r.problems)
	o := r.options(name.Value, body)
	upstreams := o.origins(name)
	for _, option := range []string{"port", "scheme", "network"} {
		if n := o.nodes[option]; n != nil {
			r.report(n, o.key(option), "is for containers", "say it in "+o.key(toOption)+", for example "+o.key(toOption)+": https://192.168.1.10:8443")
			delete(o.values, option)
		}
	}
	s := &staticRoute{
		id: r.id + "/" + name.Value, name: name.Value, signature: fmt.Sprint(o.values, upstreams, r.defaults), upstreams: upstreams,
		draft: r.parser.ReadValues(r.source, name.Value, o.key, o.values, r.defaults),
		line:  func(option string) int { return o.line(name, option) },
	}
	if s.draft.Off() {
		return
	}
	s.broken = r.broken || len(r.problems) > before
	r.routes = append(r.routes, s)
}

// line tells where an option is written, or a route of that name if it is not; 0 if
// it could not be read, and that is reported.
func (o *options) line(name *yaml.Node, option string) int {
	n := o.nodes[option]
	if n == nil {
		return name.Line
	}
	if _, read := o.values[option]; !read {
		return 0
	}
	return n.Line
}

// readDefaults reads what counts for all routes of the file. Without them nothing
// of it can be served, since they may protect it.
func (r *reader) readDefaults(name, body *yaml.Node) {
	values, ok := r.shared(name, body, defaultsWord, "write options, for example defaults: {compress: true}")
	if ok {
		r.defaults = values
		return
	}
	r.broken = true
	r.report(name, defaultsWord, "has a mistake, so that no route of this file is served otherwise than before", "correct it")
}

// readBundles reads what routes anywhere can take by the option use.
func (r *reader) readBundles(name, all *yaml.Node) {
	if all.Kind != yaml.MappingNode {
		r.report(name, "", "bundles has no bundle", "write it like bundles: {internal: {ip.allow: private}}")
		return
	}
	for i := 0; i+1 < len(all.Content); i += 2 {
		name, body := all.Content[i], follow(all.Content[i+1])
		switch key := bundlesWord + "." + name.Value; {
		case !label.ValidName(name.Value):
			r.report(name, "", label.Quote(name.Value)+" cannot name a bundle", "use a-z, 0-9 and -")
		case slices.ContainsFunc(r.bundles, func(b route.Bundle) bool { return b.Name == name.Value }):
			r.report(name, key, "is there twice in this file", "give one of them another name")
		default:
			b := route.Bundle{Name: name.Value, Source: fmt.Sprintf("%s:%d", r.source, name.Line)}
			var ok bool
			b.Values, ok = r.shared(name, body, key, "write options, for example "+key+": {ip.allow: private}")
			b.Broken = !ok
			r.bundles = append(r.bundles, b)
		}
	}
}

// shared reads options that count for several routes. ok is false if there is a
// mistake, which is reported.
func (r *reader) shared(name, body *yaml.Node, key, fix string) (values label.Values, ok bool) {
	if body.Kind != yaml.MappingNode {
		r.report(name, key, "has no options", fix)
		return nil, false
	}
	before := len(r.problems)
	o := r.options(key, body)
	if n := o.nodes[toOption]; n != nil {
		r.report(n, o.key(toOption), "is what each route says for itself", "remove it here, and give it to the routes")
	}
	for _, p := range r.parser.CheckShared(r.source, o.key, o.values) {
		if line := o.line(name, strings.TrimPrefix(p.Key, key+".")); line > 0 {
			r.reportAt(line, p)
		}
	}
	return o.values, len(r.problems) == before
}

// options reads the options below key.
func (r *reader) options(key string, body *yaml.Node) *options {
	o := &options{reader: r, name: key, values: make(label.Values), nodes: make(map[string]*yaml.Node)}
	o.add("", body, 0)
	return o
}

// options collects what is written for one route.
type options struct {
	*reader
	name   string
	values label.Values
	nodes  map[string]*yaml.Node // where each option is
	to     []*yaml.Node
	seen   int
}

func (o *options) key(option string) string { return o.name + "." + option }

// Bounds of what is written for one route, since aliases can multiply it, or
// lead back to where they are.
const (
	maxNesting = 8
	maxOptions = 1000
)

func (o *options) add(prefix string, body *yaml.Node, depth int) {
	if depth > maxNesting {
		o.report(body, o.key(prefix), "is nested too deeply", "no option needs this")
		return
	}
	for i := 0; i+1 < len(body.Content); i += 2 {
		if o.seen++; o.seen > maxOptions {
			if o.seen == maxOptions+1 {
				o.report(body, o.name, "has more than 1000 options", "no route needs this")
			}
			return
		}
		key, value := body.Content[i], follow(body.Content[i+1])
		option := prefix + key.Value
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "":
			o.report(key, o.key(prefix), "has a key that is no text", "write the name of an option")
		case value.Kind == yaml.MappingNode:
			o.add(option+".", value, depth+1)
		case o.nodes[option] != nil:
			o.report(key, o.key(option), "is there twice", "remove one of them")
		case option == toOption:
			o.nodes[option] = key
			o.to = []*yaml.Node{value}
			if value.Kind == yaml.SequenceNode {
				o.to = value.Content
			}
		default:
			o.nodes[option] = key
			if text, ok := o.text(option, value); ok {
				o.values[option] = text
			}
		}
	}
}

// text gives a value as it would be in a label.
func (o *options) text(option string, value *yaml.Node) (string, bool) {
	if value.Kind == yaml.ScalarNode {
		if value.Tag == "!!null" {
			return "", true
		}
		return value.Value, true
	}
	lines := slices.ContainsFunc(o.parser.Schema().Options(), func(x label.Option) bool { return x.Name == option && x.Lines })
	var items []string
	for _, item := range value.Content {
		item = follow(item)
		if item.Kind != yaml.ScalarNode {
			o.report(item, o.key(option), "has an item that is no text", "write a list of plain values, in quotes where they have a colon")
			return "", false
		}
		if !lines && strings.Contains(item.Value, ",") {
			o.report(item, o.key(option), "has an item with a comma, which separates items", "write one item for each value")
			return "", false
		}
		items = append(items, item.Value)
	}
	if lines {
		return strings.Join(items, "\n"), true
	}
	return strings.Join(items, ","), true
}

// origins reads the option to.
func (o *options) origins(name *yaml.Node) []route.Upstream {
	if len(o.to) == 0 {
		at := name
		if n := o.nodes[toOption]; n != nil {
			at = n
		}
		o.report(at, o.key(toOption), "is missing", "say where the origin is, for example "+o.key(toOption)+": http://192.168.1.10:5000")
		return nil
	}
	byID := make(map[string]route.Upstream)
	for _, n := range o.to {
		n = follow(n)
		if n.Kind != yaml.ScalarNode {
			o.report(n, o.key(toOption), "has an item that is no URL", "write it like http://192.168.1.10:5000")
			continue
		}
		for text := range strings.SplitSeq(n.Value, ",") {
			u, err := parseOrigin(strings.TrimSpace(text))
			if err != nil {
				o.report(n, o.key(toOption), err.Why, err.Fix)
				continue
			}
			byID[u.ID] = u
		}
	}
	upstreams := make([]route.Upstream, 0, len(byID))
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		upstreams = append(upstreams, byID[id])
	}
	return upstreams
}
