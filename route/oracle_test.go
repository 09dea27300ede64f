package route_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"path"
	"regexp"
	"strings"
	"testing"

	"portway/route"
)

// The oracle finds routes by looking at each of them with the standard library,
// slowly and in few words. It returns the ID of the route, as lookup does.
func oracle(routes []*route.Route, host, target string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "" || len(host) > 253 {
		return "unknown"
	}
	find := func(name string) []*route.Route {
		var found []*route.Route
		for _, r := range routes {
			for _, h := range r.Hosts {
				if h == name {
					found = append(found, r)
				}
			}
		}
		return found
	}
	candidates := find(host)
	if first, rest, ok := strings.Cut(host, "."); candidates == nil && ok && first != "" {
		candidates = find("*." + rest)
	}
	if candidates == nil {
		return "unknown"
	}
	if len(candidates) == 1 && candidates[0].Path == "/" {
		return candidates[0].ID
	}
	longest := func(target string, form func(string) string) string {
		best, length := "404", -1
		for _, r := range candidates {
			prefix := strings.TrimSuffix(form(r.Path), "/")
			if len(prefix) > length && (prefix == "" || target == prefix || strings.HasPrefix(target, prefix+"/")) {
				best, length = r.ID, len(prefix)
			}
		}
		return best
	}
	same := func(s string) string { return s }
	a := longest(oneForm(target), same)
	b := longest(removeDots(oneForm(target)), same)
	c := longest(oblige(target), oblige)
	if a == b && b == c {
		return a
	}
	return "404"
}

var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

func decode(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		c, _ := hex.DecodeString(e[1:])
		return string(c)
	})
}

// own is pchar of RFC 3986 but for ";".
const own = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@"

// oneForm gives each character one form.
func oneForm(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		e := s[i : i+1]
		if e == "%" && len(s)-i >= 3 && escape.MatchString(s[i:i+3]) {
			e = s[i : i+3]
		}
		i += len(e)
		switch c := decode(e); {
		case strings.Contains(own, c), e == "/", e == ";", e == "%":
			b.WriteString(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c[0])
		}
	}
	return b.String()
}

// removeDots is RFC 3986 section 5.2.4.
func removeDots(s string) string {
	var out []string
	for segment := range strings.SplitSeq(s, "/") {
		switch segment {
		case ".":
		case "..":
			out = out[:max(1, len(out)-1)]
		default:
			out = append(out, segment)
		}
	}
	return strings.Join(out, "/")
}

var parameter = regexp.MustCompile(`;[^/]*`)

// oblige is what a server does that takes everything for a slash.
func oblige(s string) string {
	s = strings.ReplaceAll(decode(s), `\`, "/")
	return path.Clean(parameter.ReplaceAllString(s, ""))
}

var oracleRoutes = func() []*route.Route {
	var t testing.T
	return []*route.Route{
		site(&t, "a", "/", "a.example", "*.example", "*.b.example"),
		site(&t, "ab", "/a/b", "a.example", "*.example"),
		site(&t, "abc", "/a/b/c", "a.example", "*.b.example"),
		site(&t, "bc", "/b/c", "a.example", "b.example"),
		site(&t, "cafe", "/café", "a.example", "b.example"),
		site(&t, "one", "/", "one.example"),
		site(&t, "b", "/b", "b.example", "a.b.example"),
	}
}()

// Random hosts and paths from few parts, so that they often nearly fit.
func TestLookupAgainstOracle(t *testing.T) {
	t.Parallel()
	table := route.NewTable(oracleRoutes, nil)
	random := rand.New(rand.NewPCG(1, 2))
	join := func(parts []string, n int) (s string) {
		for range random.IntN(n + 1) {
			s += parts[random.IntN(len(parts))]
		}
		return s
	}
	labels := []string{"a", "b", "one", "A", ".", ".", ".example", ".Example", ".example.", ":443", "*"}
	segments := []string{"/", "/", "/a", "/b", "/c", "/a/b", "/b/c", "/a/b/c", "a", "b", "c", "café", "caf%c3%a9", ".", "..", "%2e", "%2F", ";", `\`, "%61", "%62", "%", "%25", "%5c"}
	seen := make(map[string]int)
	for range 60_000 {
		host, target := join(labels, 4), join(segments, 6)
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
		if random.IntN(2) == 0 {
			host = []string{"a.example", "b.example", "x.example", "a.b.example"}[random.IntN(4)]
		}
		if strings.Count(host, ":") > 1 {
			continue // refused by the fronts
		}
		got, want := lookup(table, host, target), oracle(oracleRoutes, host, target)
		if got != want {
			t.Fatalf("%s%s goes to %s, want %s", host, target, got, want)
		}
		seen[got]++
	}
	for _, id := range []string{"a", "ab", "abc", "bc", "cafe", "one", "b", "404", "unknown"} {
		if seen[id] < 50 {
			t.Errorf("only %d of the requests went to %s: the test is too weak", seen[id], id)
		}
	}
}

// FuzzLookup: any host and path, as bytes.
func FuzzLookup(f *testing.F) {
	for _, host := range []string{"a.example", "B.Example.:80", "x.b.example", "[::1]:80", "..", "a.example:x:y"} {
		for _, target := range []string{"/", "/a/b/c", "/a/%62/../b", "//a;b/c", "/caf\xc3\xa9", `/a\b%2Fc`, "*", ""} {
			f.Add(host, target)
		}
	}
	table := route.NewTable(oracleRoutes, nil)
	f.Fuzz(func(t *testing.T, host, target string) {
		got := lookup(table, host, target)
		if got == "a route of an unknown host" {
			t.Errorf("%q%q: a route, and yet the host is unknown", host, target)
		}
		// What the fronts let through: no colon but before a port, an absolute path.
		if strings.ContainsAny(host, "[]") || strings.Count(host, ":") > 1 || !ascii(host) || !strings.HasPrefix(target, "/") {
			return
		}
		if want := oracle(oracleRoutes, host, target); got != want {
			t.Errorf("%q%q goes to %s, want %s", host, target, got, want)
		}
	})
}

// ascii keeps strings.ToLower from doing more than a host name's comparison does.
func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}
