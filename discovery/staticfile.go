package discovery

import (
	"bytes"
	"cmp"
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

// staticRoute is one route of a file, as written.
type staticRoute struct {
	name      string
	signature string       // all that is written: equal for equal routes
	route     *route.Route // nil if it is rejected
}

// toOption is the one option that only static routes have: where the origins are.
const toOption = "to"

// reader reads a static file.
type reader struct {
	parser *route.Parser
	source string // the file for people, for example routes/nas.yaml
	id     string // start of the IDs of its routes

	routes   []*staticRoute
	problems []lineProblem
}

type lineProblem struct {
	line int
	label.Problem
}

// parseFile reads routes from YAML like
//
//	nas:
//	  host: nas.example.com
//	  to: [http://192.168.1.10:5000]
//
// where the options are those of labels; a dot may be written as a nested map,
// a list as a list. ok is false if the file as a whole cannot be read, so that
// nothing is known about its routes.
func parseFile(p *route.Parser, source, id string, text []byte) (routes []*staticRoute, problems []label.Problem, ok bool) {
	r := &reader{parser: p, source: source, id: id}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document yaml.Node
		switch err := decode(decoder, &document); {
		case errors.Is(err, io.EOF):
			return r.routes, r.sorted(), true
		case err != nil:
			return nil, []label.Problem{{
				Source: source, Why: "is no YAML: " + strings.TrimPrefix(oneLine(err), "yaml: "),
				Fix: "correct it; until then, what it said before stays in force",
			}}, false
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

// sorted returns all problems as one finds them when reading the file.
func (r *reader) sorted() []label.Problem {
	slices.SortStableFunc(r.problems, func(a, b lineProblem) int { return cmp.Compare(a.line, b.line) })
	var all []label.Problem
	for _, p := range r.problems {
		all = append(all, p.Problem)
	}
	return all
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
		name, body := top.Content[i], follow(top.Content[i+1])
		switch {
		case name.Value == "" || strings.Trim(name.Value, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			r.report(name, "", label.Quote(name.Value)+" cannot name a route", "use a-z, 0-9 and -")
		case slices.ContainsFunc(r.routes, func(s *staticRoute) bool { return s.name == name.Value }):
			r.report(name, "", "the route "+name.Value+" is there twice in this file", "give one of them another name")
		case body.Kind != yaml.MappingNode:
			r.report(name, "", "the route "+name.Value+" has no options", "give it a host and a to")
		default:
			r.route(name, body)
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
	o := options{reader: r, name: name.Value, values: make(label.Values), nodes: make(map[string]*yaml.Node)}
	o.add("", body, 0)
	upstreams := o.origins(name)
	for _, option := range []string{"port", "scheme", "network"} {
		if n := o.nodes[option]; n != nil {
			r.report(n, o.key(option), "is for containers", "say it in "+o.key(toOption)+", for example "+o.key(toOption)+": https://192.168.1.10:8443")
			delete(o.values, option)
		}
	}
	s := &staticRoute{name: name.Value, signature: fmt.Sprint(o.values, upstreams)}
	r.routes = append(r.routes, s)

	parsed := r.parser.Values(r.source, name.Value, o.key, o.values)
	for _, p := range parsed.Problems {
		option := strings.TrimPrefix(p.Key, name.Value+".")
		line := name.Line
		if n := o.nodes[option]; n != nil {
			line = n.Line
			if _, read := o.values[option]; !read {
				continue // it is there, if not as text, and reported
			}
		}
		r.reportAt(line, p)
	}
	if len(r.problems) > before || parsed.Route == nil {
		return
	}
	made := *parsed.Route
	made.ID, made.Name, made.Upstreams = r.id+"/"+name.Value, name.Value, upstreams
	s.route = &made
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
	var items []string
	for _, item := range value.Content {
		item = follow(item)
		if item.Kind != yaml.ScalarNode {
			o.report(item, o.key(option), "has an item that is no text", "write a list of plain values")
			return "", false
		}
		if strings.Contains(item.Value, ",") {
			o.report(item, o.key(option), "has an item with a comma, which separates items", "write one item for each value")
			return "", false
		}
		items = append(items, item.Value)
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
