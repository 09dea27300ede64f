package middleware

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"portway/label"
	"portway/proxy/exchange"
)

// acceptItem is an item of Accept-Encoding as RFC 9110 has it.
var acceptItem = regexp.MustCompile(`^[ \t]*([^; \t]+)[ \t]*(?:;[ \t]*[qQ]=((?:0(?:\.[0-9]{0,3})?)|(?:1(?:\.0{0,3})?))[ \t]*)?$`)

// likes reads Accept-Encoding slowly.
func likes(value string) map[string]float64 {
	all := map[string]float64{}
	for item := range strings.SplitSeq(value, ",") {
		name := strings.ToLower(strings.Trim(strings.SplitN(item, ";", 2)[0], " \t"))
		if name == "x-gzip" {
			name = "gzip"
		}
		q := 0.0
		if m := acceptItem.FindStringSubmatch(item); m != nil {
			if q = 1; m[2] != "" {
				q, _ = strconv.ParseFloat(m[2], 64)
			}
		}
		all[name] = q
	}
	return all
}

// FuzzAcceptEncoding: what is chosen is what the client likes best of what there is.
func FuzzAcceptEncoding(f *testing.F) {
	for _, seed := range []string{
		"gzip", "gzip, deflate, br, zstd", "gzip;q=0.5, br;q=1.0, *;q=0", "*", "identity", "identity;q=0, *;q=0.001", "x-gzip", "GZIP;Q=0.3",
		"gzip;q=1.001", "gzip;q=2", "gzip;q=", "gzip;", "gzip;q=0.5;x=y", ",,br,", "br ; q=0.9", "br;q=0.9 ", "gzip;q=-1", "zstd;q=0.12345", "gzip, gzip;q=0", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var fields exchange.Fields
		fields.AddString("Accept-Encoding", value)
		offered := []coding{zstdCoding, brotliCoding, gzipCoding}
		c, ok := negotiate(&fields, offered)
		all := likes(value)
		like := func(name string) float64 {
			if q, said := all[name]; said {
				return q
			}
			return all["*"]
		}
		best, most := "", all["identity"]
		for _, o := range offered {
			if q := like(codingNames[o]); q > 0 && (q > most || q == most && best == "") {
				best, most = codingNames[o], q
			}
		}
		got := ""
		if ok {
			got = codingNames[c]
		}
		if got != best {
			t.Errorf("%q: %q, want %q", value, got, best)
		}
	})
}

// FuzzOrigin: an origin that is let in is one that a browser would call a name one
// level below the wildcard's, or that is written out.
func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{
		"https://a.example.org", "https://example.org", "https://.example.org", "https://a.b.example.org", "https://evil.example/.example.org",
		"https://evil.example?.example.org", "https://a@b.example.org", "https://a.example.org:8443", "HTTPS://A.EXAMPLE.ORG", "https://app.example.com", "null", "",
		"https://a.example.org.", "https://a%2eexample.org", "https://[::1].example.org",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		const exact = "https://app.example.com"
		if matchOrigin(exact, []byte(origin)) != (strings.ToLower(origin) == exact && isASCII(origin)) {
			t.Errorf("%q as %s", origin, exact)
		}
		if !matchOrigin("https://*.example.org", []byte(origin)) {
			return
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Port() != "" {
			t.Fatalf("%q is let in", origin)
		}
		first, rest, _ := strings.Cut(strings.ToLower(u.Host), ".")
		if first == "" || rest != "example.org" {
			t.Errorf("%q is let in", origin)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// mayClimb follows a path in every way there is: decoded up to twice, with and without
// what follows ";" and with "\" as slash.
func mayClimb(path string) bool {
	decode := func(s string) string {
		var b []byte
		for s != "" {
			c, n := unescape([]byte(s))
			b, s = append(b, c), s[n:]
		}
		return string(b)
	}
	for _, p := range []string{path, decode(path), decode(decode(path))} {
		for segment := range strings.FieldsFuncSeq(p, func(r rune) bool { return r == '/' || r == '\\' }) {
			segment, _, _ = strings.Cut(segment, ";")
			if segment == ".." {
				return true
			}
		}
	}
	return false
}

// FuzzClimbs: no way of writing ".." gets through.
func FuzzClimbs(f *testing.F) {
	for _, seed := range []string{
		"/..", "/a/../b", "/%2e%2e/", "/.%2E", "/%252e%252E/x", "/..;a/b", "/a%2f..%2fb", "/..%5cx", "/...", "/a..", "/..a", "/%25252e", "/%2", "/.;/..", "/;..", "/%3b..", "/..%3bx", "/%2e%252e",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if mayClimb(path) && !climbs([]byte(path)) {
			t.Errorf("%q gets through", path)
		}
		if !strings.Contains(path, "%") && !strings.ContainsAny(path, `\;`) && climbs([]byte(path)) && !mayClimb(path) {
			t.Errorf("%q does not get through", path)
		}
	})
}

// FuzzPrefix: taking a prefix off and putting it in front again gives the same path,
// however it was written.
func FuzzPrefix(f *testing.F) {
	f.Add("/api", "/users", uint8(1))
	f.Add("/a b/ü", "", uint8(255))
	f.Add("/%41", "/", uint8(0))
	f.Add("/a%2541", "/x", uint8(7))
	f.Fuzz(func(t *testing.T, value, rest string, escape uint8) {
		prefix, err := parsePrefix(value)
		if err != nil || rest != "" && rest[0] != '/' {
			return
		}
		if again, err := parsePrefix(string(escapePath(prefix))); err != nil || again != prefix {
			t.Fatalf("%q is %q, written out and read again %q %v", value, prefix, again, err)
		}
		var sent []byte // the prefix with some more characters escaped
		for i, c := range []byte(prefix) {
			if c != '/' && (!isPathChar(c) || escape&(1<<(i%8)) != 0) {
				sent = append(sent, '%', "0123456789abcdef"[c>>4], "0123456789ABCDEF"[c&15])
			} else {
				sent = append(sent, c)
			}
		}
		if got, ok := cutPrefix(append(sent, rest...), prefix); !ok || string(got) != rest {
			t.Errorf("%q off %q%q leaves %q %v", prefix, sent, rest, got, ok)
		}
		if _, ok := cutPrefix(append(sent, 'x'), prefix); ok {
			t.Errorf("%q is taken off %qx", prefix, sent)
		}
	})
}

// FuzzLabels: whatever a label says, it is a Problem or works: nothing panics, and what
// goes out can be sent.
func FuzzLabels(f *testing.F) {
	options := label.Describe(All()...).Options()
	for i, o := range options {
		for _, value := range []string{o.Example, o.Default, "x", "true", "{path}", "/a/(.*) /b/$1", "$", "%", "http://*.\x00", "-1", "a:b"} {
			f.Add(uint8(i), value, "/a/..%2f;x", "true")
		}
	}
	f.Fuzz(func(t *testing.T, option uint8, value, path, switched string) {
		o := options[int(option)%len(options)]
		values := label.Values{o.Name: value}
		if len(o.Needs) > 0 {
			values[o.Needs[0]] = switched
		}
		if o.Secret && (strings.HasPrefix(value, "file:") || strings.HasPrefix(value, "env:")) {
			return // anything can be in them
		}
		binders, problems := parse(values)
		if len(problems) > 0 {
			return
		}
		if !validTarget(path) {
			path = "/"
		}
		ex := request(t, "GET /")
		defer finish(ex)
		ex.Request.Path = []byte(path)
		wrap(binders, exchange.HandlerFunc(func(ex *exchange.Exchange) {
			q := &ex.Request
			if !validTarget(string(q.Path)) || !isVisible(string(q.Query)) || !isVisible(string(q.Authority)) {
				t.Errorf("the application gets %q ? %q at %q", q.Path, q.Query, q.Authority)
			}
			checkFields(t, &q.Fields)
			response(ex, "200\nContent-Type: text/html\n\n"+strings.Repeat("hello ", 500))
		})).Serve(ex)
		if s := ex.Response.Status; s < 200 || s > 599 {
			t.Errorf("status %d", s)
		}
		checkFields(t, &ex.Response.Fields)
		if ex.Response.Status == 200 && o.Name != "respond" && o.Name != "respond.type" && len(content(t, ex)) != 3000 {
			t.Error("the content is another one")
		}
	})
}

func checkFields(t *testing.T, fields *exchange.Fields) {
	t.Helper()
	for name, value := range fields.All() {
		if !validName(string(name)) || !validText(string(value)) || slices.Contains([]string{"connection", "content-length", "transfer-encoding"}, strings.ToLower(string(name))) {
			t.Errorf("a field %q: %q", name, value)
		}
	}
}

// validTarget tells whether a front would let a path in.
func validTarget(path string) bool {
	return strings.HasPrefix(path, "/") && isVisible(path) && !strings.ContainsAny(path, "?#")
}

func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// FuzzAccept: how much a client likes a type is what the most exact range that fits says.
func FuzzAccept(f *testing.F) {
	for _, seed := range []string{
		"", "*/*", "text/html", "text/*;q=0.5, text/html;level=1;q=0.7", "text/html;q=0, */*", "TEXT/HTML;Q=0.3", "text/html;q=1.5", ",;,=", "text/html;q=", "application/json, text/plain, */*",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, k := range pageKinds {
			want := -1.0
			for _, name := range []string{k.kind, strings.Split(k.kind, "/")[0] + "/*", "*/*"} {
				for item := range strings.SplitSeq(value, ",") {
					parts := strings.Split(item, ";")
					if got := strings.Trim(parts[0], " \t"); !isASCII(got) || strings.ToLower(got) != name || want >= 0 {
						continue
					}
					want = 1
					for _, p := range parts[1:] {
						if p = strings.Trim(p, " \t"); len(p) > 2 && strings.EqualFold(p[:2], "q=") {
							want = float64(readQuality([]byte(p[2:]))) / 1000
							break
						}
					}
				}
			}
			if strings.TrimSpace(value) == "" {
				want = 1
			}
			if got := float64(acceptance([]byte(value), k.kind)) / 1000; got != max(want, 0) {
				t.Errorf("%q, %s: %v, want %v", value, k.kind, got, max(want, 0))
			}
		}
	})
}

// FuzzClaims: what an application may take for one of the fields that a service's answer
// has, is one.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{"Remote-User", "remote_user", "REMOTE-USER", "X-Auth-", "X_Auth_Groups", "X-Aut", "Remote-Users", "", "X-Auth-\u212a"} {
		f.Add(seed)
	}
	h := &asker{copied: []fieldPattern{newFieldPattern("remote-user"), newFieldPattern("x-auth-*")}}
	f.Fuzz(func(t *testing.T, name string) {
		plain := name
		if isASCII(name[:min(len(name), len("x-auth-"))]) {
			plain = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		}
		want := plain == "remote-user" && isASCII(name) || strings.HasPrefix(plain, "x-auth-")
		if got := h.isCopied([]byte(name), nil); got != want {
			t.Errorf("%q: %v", name, got)
		}
	})
}

var traceRE = regexp.MustCompile(`^(?:00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|(?:0[1-9a-f]|[1-9a-e][0-9a-f]|f[0-9a-e])-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?s:-.*)?)$`)

// FuzzTraceparent: what is continued is what the standard calls well-formed.
func FuzzTraceparent(f *testing.F) {
	for _, seed := range []string{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x", "00-0af7651916cd43dd8448eb211c80319cXb7ad6b7169203331-01",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		want := traceRE.MatchString(value) && !strings.HasPrefix(value[3:], strings.Repeat("0", 32)) && !strings.HasPrefix(value[36:], strings.Repeat("0", 16))
		if got := validTrace([]byte(value)); got != want {
			t.Errorf("%q: %v", value, got)
		}
		ex := exchange.Get()
		defer exchange.Put(ex)
		if b := newTrace(ex); !validTrace(b) || string(b[36:52]) != ex.RequestID() {
			t.Errorf("made %s", b)
		}
	})
}
