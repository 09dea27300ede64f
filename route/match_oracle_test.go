package route_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"portway/internal/routetest"
	"portway/route"
)

// spec is a route as the oracle reads it: its options.
type spec map[string]string

var specs = []spec{
	{"host": "a.example", "match.method": "GET, POST"},
	{"host": "a.example", "match.header": "X-A: 1\n!X-B"},
	{"host": "a.example,*.example", "path": "/a"},
	{"host": "a.example,*.example", "path": "/a", "match.cookie": "c=~[0-9]+"},
	{"host": "a.example", "path": "/a/b", "match.query": "q=x y\n!z", "match.method": "!PUT"},
	{"host": "a.example,*.example", "path.exact": "/a/b"},
	{"host": "a.example", "path.exact": "/a/", "priority": "1"},
	{"host": "a.example,b.example", "path.regexp": "/a/[^/]+/c"},
	{"host": "b.example", "path.regexp": ".*b", "match.client": "10.0.0.0/8, 2001:db8::/32, !10.1.0.0/16"},
	{"host": "b.example", "path.regexp": "/café/.*"},
	{"host": "b.example", "path": "/b", "match.country": "DE, !AT", "match.agent": "!bot"},
	{"host": "b.example", "path": "/b", "match.continent": "!EU", "priority": "-1"},
	{"host": "b.example", "match.agent": "bot, ~.*X.*", "match.query": "q"},
	{"host.regexp": "[a-c]+[.]example[.]org", "path": "/b"},
	{"host.regexp": "a.*", "match.method": "GET", "priority": "2"},
	{"host.regexp": ".*[.]org", "match.cookie": "!c"},
}

var oraclePlaces = routetest.Places{
	{Range: netip.MustParsePrefix("10.0.0.0/9"), Country: "DE", Continent: "EU"},
	{Range: netip.MustParsePrefix("10.128.0.0/9"), Country: "AT", Continent: "EU"},
	{Range: netip.MustParsePrefix("2001:db8::/32"), Country: "US", Continent: "NA"},
}

var oracleTable = func() *route.Table {
	var routes []*route.Route
	for i, s := range specs {
		parsed := route.NewParser(nil).WithPlaces().Values("test", "r", strings.Clone, map[string]string(s))
		if parsed.Route == nil {
			panic(fmt.Sprint(parsed.Problems))
		}
		parsed.Route.ID = fmt.Sprint(i)
		parsed.Route.Upstreams = []route.Upstream{{}}
		routes = append(routes, parsed.Route)
	}
	return route.NewTable(routes, nil)
}()

// ask is a request as the oracle reads it.
type ask struct {
	host, method, path, query string
	fields                    routetest.Fields
	from                      netip.Addr
}

func (a *ask) header() http.Header {
	h := http.Header{}
	for _, f := range a.fields {
		h.Add(f[0], f[1])
	}
	return h
}

var compiled sync.Map

func whole(pattern, value string) bool {
	p, ok := compiled.Load(pattern)
	if !ok {
		p, _ = compiled.LoadOrStore(pattern, regexp.MustCompile(`^(?s:`+pattern+`)$`))
	}
	return p.(*regexp.Regexp).MatchString(value)
}

var (
	lastSlash = regexp.MustCompile(`(?i)([/\\]|%2f|%5c)$`)
	percent   = regexp.MustCompile(`%([0-9A-Fa-f]{2})?`)
)

// holds tells whether a criterion is met by any of the values of a name.
func holds(line, separator string, values func(name string) []string) bool {
	rest, negated := strings.CutPrefix(line, "!")
	name, value, hasValue := strings.Cut(rest, separator)
	value = strings.TrimSpace(value)
	got := false
	for _, v := range values(name) {
		pattern, isPattern := strings.CutPrefix(value, "~")
		got = got || !hasValue || isPattern && whole(pattern, v) || !isPattern && v == value
	}
	return got != negated
}

// listed tells whether a list is met.
func listed(list string, fits func(item string) bool) bool {
	wanted, got := false, false
	for item := range strings.SplitSeq(list, ",") {
		item, negated := strings.CutPrefix(strings.TrimSpace(item), "!")
		if negated && fits(item) {
			return false
		}
		wanted = wanted || !negated
		got = got || !negated && fits(item)
	}
	return got || !wanted
}

func (s spec) fits(a *ask) (ok bool, criteria int) {
	ok = true
	lines := func(option, separator string, values func(string) []string) {
		for line := range strings.Lines(s[option]) {
			criteria++
			ok = holds(strings.TrimSpace(line), separator, values) && ok
		}
	}
	list := func(option string, fits func(string) bool) {
		if s[option] != "" {
			criteria++
			ok = listed(s[option], fits) && ok
		}
	}
	query, _ := url.ParseQuery(a.query)
	country, continent, _ := oraclePlaces.Place(a.from)
	agent := a.header().Get("User-Agent")
	lines("match.header", ":", func(n string) []string { return a.header().Values(n) })
	lines("match.query", "=", func(n string) []string { return query[n] })
	lines("match.cookie", "=", func(n string) (all []string) {
		for _, c := range (&http.Request{Header: a.header()}).CookiesNamed(n) {
			all = append(all, c.Value)
		}
		return all
	})
	list("match.method", func(m string) bool { return a.method == m })
	list("match.agent", func(x string) bool {
		if p, ok := strings.CutPrefix(x, "~"); ok {
			return whole(p, agent)
		}
		return strings.Contains(strings.ToLower(agent), x)
	})
	list("match.client", func(p string) bool { return netip.MustParsePrefix(p).Contains(a.from) })
	list("match.country", func(c string) bool { return c == country })
	list("match.continent", func(c string) bool { return c == continent })
	return ok, criteria
}

// fitsPath is for one of three readings.
func (s spec) fitsPath(reading int, target string) (ok bool, length, kind int) {
	form := []func(string) string{oneForm, func(p string) string { return removeDots(oneForm(p)) }, oblige}[reading]
	written := oneForm // what is in a label is one form, unless all is decoded
	if reading == 2 {
		written = oblige
	}
	if p := s["path.exact"]; p != "" {
		if reading == 2 {
			return textOf(2, target) == textOf(2, p), len(oneForm(p)), 0
		}
		return form(target) == oneForm(p), len(oneForm(p)), 0
	}
	if p := s["path.regexp"]; p != "" {
		return whole(p, textOf(reading, target)), max(1, strings.IndexAny(p, `.[(`)), 1
	}
	prefix := strings.TrimSuffix(s["path"], "/")
	below := form(target)
	return prefix == "" || below == written(prefix) || strings.HasPrefix(below, written(prefix)+"/"), max(1, len(oneForm(prefix))), 2
}

// textOf is what patterns are held against.
func textOf(reading int, target string) string {
	if reading == 2 {
		text := oblige(target)
		if lastSlash.MatchString(target) && text != "/" {
			text += "/"
		}
		return text
	}
	text := percent.ReplaceAllStringFunc(target, func(e string) string {
		switch {
		case e == "%":
			return "%25"
		case e == "%25", strings.EqualFold(e, "%2f"):
			return strings.ToUpper(e)
		}
		return decode(e)
	})
	if reading == 1 {
		text = removeDots(text)
	}
	return text
}

func (a *ask) oracle() string {
	host := strings.TrimSuffix(strings.ToLower(a.host), ".")
	candidates := make(map[int]bool)
	for _, level := range []func(spec) bool{
		func(s spec) bool { return slices.Contains(strings.Split(s["host"], ","), host) },
		func(s spec) bool {
			first, rest, _ := strings.Cut(host, ".")
			return first != "" && slices.Contains(strings.Split(s["host"], ","), "*."+rest)
		},
		func(s spec) bool { return s["host.regexp"] != "" && whole("(?i)"+s["host.regexp"], host) },
	} {
		for i, s := range specs {
			if level(s) {
				candidates[i] = true
			}
		}
		if len(candidates) > 0 {
			break
		}
	}
	if len(candidates) == 0 {
		return "unknown"
	}
	found := make(map[string]bool)
	for reading := range 3 {
		type rank struct{ priority, length, kind, criteria, index int }
		var fit []rank
		for i := range candidates {
			s := specs[i]
			pathFits, length, kind := s.fitsPath(reading, a.path)
			fits, criteria := s.fits(a)
			if pathFits && fits {
				priority := 0
				_, _ = fmt.Sscan(s["priority"], &priority)
				fit = append(fit, rank{-priority, -length, kind, -criteria, i})
			}
		}
		if len(fit) == 0 {
			found["404"] = true
			continue
		}
		best := slices.MinFunc(fit, func(a, b rank) int {
			return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.length, b.length), cmp.Compare(a.kind, b.kind),
				cmp.Compare(a.criteria, b.criteria), cmp.Compare(a.index, b.index))
		})
		found[fmt.Sprint(best.index)] = true
	}
	if len(found) > 1 {
		return "404"
	}
	for id := range found {
		return id
	}
	panic("no reading")
}

func (a *ask) request() *route.Request {
	return &route.Request{
		Host: []byte(a.host), Path: []byte(a.path), Query: []byte(a.query), Method: []byte(a.method),
		Fields: a.fields, Client: a.from, Places: oraclePlaces,
	}
}

func TestMatchAgainstOracle(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	join := func(n int, all ...string) (s string) {
		for range random.IntN(n + 1) {
			s += pick(all...)
		}
		return s
	}
	seen := make(map[string]int)
	for range 30_000 {
		a := &ask{
			host:   pick("a.example", "a.example", "B.example.", "b.example", "c.example", "a.example.org", "abc.example.org", "d.org", "x.d.org", "nobody.net", "a", ".org"),
			method: pick("GET", "POST", "PUT", "get"),
			path:   "/" + join(4, "a", "a/", "b", "b/", "/b", "c", "/c", "/", "..", ".", "%2F", "%61", "caf%C3%A9", "café/", ";x", `\`, "%0a", "%25", "%"),
			query:  join(3, "q", "=x+y", "=x%20y", "&", "z", "q=x y", "%71", "=1"),
			from:   netip.MustParseAddr(pick("10.0.0.1", "10.1.2.3", "10.200.0.1", "2001:db8::1", "192.0.2.1")),
		}
		if random.IntN(3) == 0 {
			a.path = pick("/a/b", "/a/b/", "/a/%62", "/a/b/c", "/a/x%20y/c", "/café/b", "/b/x")
		}
		if random.IntN(3) == 0 {
			a.query = pick("q=x+y", "q=x%20y&a", "z&q=x+y")
		}
		for range random.IntN(4) {
			a.fields = append(a.fields, [2]string{
				pick("X-A", "x-b", "Cookie", "Cookie", "User-Agent"),
				pick("1", "2", "c=1", "c=a; c=12", `c="7"`, "d=1;c=33", "c", "Googlebot/2", "Mozilla/5.0 X", "Mozilla/5.0"),
			})
		}
		got, want := find(oracleTable, a.request()), a.oracle()
		if got != want {
			t.Fatalf("%+v goes to %s, want %s", *a, got, want)
		}
		agrees(t, oracleTable, a.request())
		seen[got]++
	}
	for i := range specs {
		if n := seen[fmt.Sprint(i)]; n < 20 {
			t.Errorf("only %d of the requests went to %v: the test is too weak", n, specs[i])
		}
	}
}

// Any bytes: nothing panics, and where the standard library has one view of a
// query and of cookies, it is ours.
func FuzzMatch(f *testing.F) {
	f.Add("a.example", "GET", "/a/b", "q=x+y&%71", "X-A", "1", "c=1; d", []byte{10, 0, 0, 1})
	f.Add("B.example.", "PUT", "/caf%C3%A9/..//b", "a;b&%zz=%", "User-Agent", "Googlebot", `c="7`, []byte{1})
	f.Add("d.org", "GET", "/%2f;x/", "&&=", "", "", ";;=c;c", []byte{})
	f.Fuzz(func(t *testing.T, host, method, path, query, name, value, cookie string, from []byte) {
		a := &ask{host: host, method: method, path: path, query: query}
		a.fields = routetest.Fields{{name, value}, {"Cookie", cookie}}
		a.from, _ = netip.AddrFromSlice(from)
		got := find(oracleTable, a.request())
		if got == "a route of an unknown host" {
			t.Errorf("%+v: a route, and yet the host is unknown", *a)
		}
		if again := find(oracleTable, a.request()); again != got {
			t.Errorf("%+v goes to %s, and then to %s", *a, got, again)
		}
		agrees(t, oracleTable, a.request())
		_, err := url.ParseQuery(query)
		// What the fronts let through, and what the oracle reads as we do.
		simple := regexp.MustCompile(`^[ -~]*$`)
		if err != nil || strings.ContainsAny(host, "[]:") || !strings.HasPrefix(path, "/") || !a.from.IsValid() || a.from.Zone() != "" || a.from.Is4In6() ||
			name == "" || !simple.MatchString(host+method+path+query+name+value+cookie) || strings.TrimSpace(value) != value ||
			strings.ContainsAny(name, " :") || !regexp.MustCompile(`^([a-z]+=[a-z0-9]*(; |$))*$`).MatchString(cookie) ||
			strings.EqualFold(name, "cookie") || len(host) > 253 || host == "" || host == "." {
			return
		}
		if want := a.oracle(); got != want {
			t.Errorf("%+v goes to %s, want %s", *a, got, want)
		}
	})
}

// Whatever labels say, they make a route or a Problem, and a route that can be asked.
func FuzzCriteria(f *testing.F) {
	for _, s := range specs {
		for option, value := range s {
			f.Add(option, value, "/a/b?c=d")
		}
	}
	for _, bad := range []string{"!", "~", "!~", "~(", "=", "!=~", ":", "a: ~\x00", ",", "!!GET", "::/0, 10.0.0.0/33"} {
		for _, o := range []string{"match.header", "match.query", "match.cookie", "match.agent", "match.client", "match.country", "match.method", "path.regexp", "host.regexp"} {
			f.Add(o, bad, "/"+bad)
		}
	}
	f.Fuzz(func(t *testing.T, option, value, target string) {
		values := map[string]string{"host": "a.example", option: value}
		parsed := route.NewParser(nil).WithPlaces().Values("f", "r", strings.Clone, values)
		if (parsed.Route == nil) != (len(parsed.Problems) > 0) {
			t.Fatalf("%q: %q gives %v and %v", option, value, parsed.Route, parsed.Problems)
		}
		for _, p := range parsed.Problems {
			if strings.ContainsAny(p.String(), "\n\r") {
				t.Errorf("%q has more than one line", p.String())
			}
		}
		if parsed.Route == nil {
			return
		}
		path, query, _ := strings.Cut(target, "?")
		table := route.NewTable([]*route.Route{parsed.Route}, nil)
		find(table, (&ask{host: "a.example", method: value, path: path, query: query, fields: routetest.Fields{{option, value}, {"Cookie", value}, {"User-Agent", value}}}).request())
	})
}
