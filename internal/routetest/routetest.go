// Package routetest reads the golden cases of matching, so that package route can
// try them on a table and package proxy through a listener.
//
// A case is a txtar file. "routes" maps names of containers to their labels (YAML),
// "places" has lines with a range, a country and a continent, "requests" has lines of
// the form
//
//	METHOD host/path?query | Field: value | from ADDRESS => name
//
// where the name is that of the container that gets the request, "404" if its host
// has no route for it, or "unknown" if nobody has its host; and "problems" has what
// the user is told.
package routetest

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"portway/label"
	"portway/route"
)

// Case is one golden case.
type Case struct {
	Name     string
	Options  []string // that its labels use
	Routes   []*route.Route
	Places   Places // nil: none are known
	Requests []Request
	Problems []string // of the parser and of a table of Routes
	Want     []string // what Problems should be
}

// Request is a request of a case.
type Request struct {
	Line         string // as written
	Method, Host string
	Path, Query  string
	HasQuery     bool
	Fields       Fields
	From         netip.Addr
	Want         string
}

// Fields are names and values.
type Fields [][2]string

// Find makes them route.Fields.
func (f Fields) Find(name string, from int) (value []byte, next int) {
	for i := from; i < len(f); i++ {
		if strings.EqualFold(f[i][0], name) {
			return []byte(f[i][1]), i + 1
		}
	}
	return nil, -1
}

// Places are ranges with their country and continent.
type Places []Place

// Place is where a range is.
type Place struct {
	Range              netip.Prefix
	Country, Continent string
}

// Place makes them route.Places.
func (p Places) Place(a netip.Addr) (country, continent string, ok bool) {
	for _, place := range p {
		if place.Range.Contains(a) {
			return place.Country, place.Continent, true
		}
	}
	return "", "", true
}

// Read reads all cases of a folder.
func Read(t *testing.T, folder string) []Case {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s: %v", folder, err)
	}
	var all []Case
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := Case{Name: strings.TrimSuffix(filepath.Base(file), ".txtar")}
		for _, part := range a.Files {
			text := string(part.Data)
			switch part.Name {
			case "places":
				c.readPlaces(t, text)
			case "routes":
				c.readRoutes(t, text)
			case "requests":
				c.readRequests(t, text)
			case "problems":
				c.Want = lines(text)
			default:
				t.Fatalf("%s: unknown part %s", file, part.Name)
			}
		}
		for _, p := range route.NewTable(c.Routes, nil).Problems() {
			c.Problems = append(c.Problems, p.String())
		}
		all = append(all, c)
	}
	return all
}

func (c *Case) readPlaces(t *testing.T, text string) {
	c.Places = Places{}
	for _, line := range lines(text) {
		words := strings.Fields(line)
		p, err := netip.ParsePrefix(words[0])
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		c.Places = append(c.Places, Place{p, words[1], words[2]})
	}
}

func (c *Case) readRoutes(t *testing.T, text string) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	parser := route.NewParser(nil)
	if c.Places != nil {
		parser = parser.WithPlaces()
	}
	top := doc.Content[0]
	for i := 0; i < len(top.Content); i += 2 {
		name := top.Content[i].Value
		labels := map[string]string{}
		if err := top.Content[i+1].Decode(&labels); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		routes, problems := parser.Labels(name, labels)
		for _, r := range routes {
			problems = append(problems, r.Problems...)
			if r.Route != nil {
				made := *r.Route
				made.ID, made.Name = name, name
				if r.Name != "" {
					made.ID += "/" + r.Name
				}
				made.Upstreams = []route.Upstream{{ID: made.ID}}
				c.Routes = append(c.Routes, &made)
			}
		}
		for _, p := range problems {
			c.Problems = append(c.Problems, p.String())
		}
		for l := range labels {
			c.Options = append(c.Options, strings.TrimPrefix(l, label.Prefix))
		}
	}
	slices.Sort(c.Options)
}

func (c *Case) readRequests(t *testing.T, text string) {
	for _, line := range lines(text) {
		q := Request{Line: line}
		said, want, ok := strings.Cut(line, " => ")
		q.Want = strings.TrimSpace(want)
		parts := strings.Split(said, " | ")
		method, target, ok2 := strings.Cut(strings.TrimSpace(parts[0]), " ")
		host, path, ok3 := strings.Cut(target, "/")
		if !ok || !ok2 || !ok3 {
			t.Fatalf("%s: %q is no request", c.Name, line)
		}
		q.Method, q.Host = method, host
		q.Path, q.Query, q.HasQuery = strings.Cut("/"+path, "?")
		for _, part := range parts[1:] {
			if from, ok := strings.CutPrefix(part, "from "); ok {
				q.From = netip.MustParseAddr(strings.TrimSpace(from))
				continue
			}
			name, value, ok := strings.Cut(part, ":")
			if !ok {
				t.Fatalf("%s: %q is no field", c.Name, part)
			}
			q.Fields = append(q.Fields, [2]string{name, strings.TrimSpace(value)})
		}
		c.Requests = append(c.Requests, q)
	}
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all
}
