package balance

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"portway/proxy/exchange"
)

func withCookies(lines ...string) *exchange.Exchange {
	ex := exchange.Get()
	for _, l := range lines {
		ex.Request.Fields.AddString("Cookie", l)
	}
	return ex
}

func TestTake(t *testing.T) {
	t.Parallel()
	s := Sticky{On: true, Cookie: "r"}
	for _, tt := range []struct{ lines, value, rest string }{
		{"r=1", "1", ""},
		{"a=b", "", "a=b"},
		{"a=b; r=1", "1", "a=b"},
		{"r=1; a=b", "1", "a=b"},
		{"a=b;r=1;c=d", "1", "a=b; c=d"},
		{"a=b|r=1|c=d", "1", "a=b; c=d"},
		{"r=1; r=2", "1", ""},
		{"r=1|r=2; a=b", "1", "a=b"},
		{`r="1"; a="b; c"`, "1", `a="b; c"`},
		{"R=1; rr=2; r; xr=3", "", "R=1; rr=2; r; xr=3"},
		{"r=; a=b", "", "a=b"},
		{" ; ;r=1; ", "1", ""},
	} {
		ex := withCookies(strings.Split(tt.lines, "|")...)
		value := s.Cookies("x").Take(ex)
		rest := string(ex.Request.Fields.Get("cookie"))
		if string(value) != tt.value || rest != tt.rest {
			t.Errorf("%q gives %q, and leaves %q", tt.lines, value, rest)
		}
		if rest == "" && ex.Request.Fields.Has("cookie") {
			t.Errorf("%q leaves an empty field", tt.lines)
		}
		exchange.Put(ex)
	}
}

// Whatever a client sends, the origin never sees our cookie, and sees all others as
// net/http reads them.
func FuzzTake(f *testing.F) {
	for _, s := range []string{"a=b; r=1", "r=1; r=2", `r="x`, "r", ";;=;r=;", "r=1\x00; b", "a=r=1; r=a=b"} {
		f.Add(s, "c=d")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		ex := withCookies(one, two)
		defer exchange.Put(ex)
		c := (&Sticky{On: true, Cookie: "r"}).Cookies("x")
		c.Take(ex)
		if v, found := cookie(&ex.Request.Fields, "r"); found {
			t.Errorf("%q, %q: %q is still there", one, two, v)
		}
		var before, after []*http.Cookie
		for _, l := range []string{one, two} {
			before = append(before, (&http.Request{Header: http.Header{"Cookie": {l}}}).Cookies()...)
		}
		// A name without a value is left alone: it is not ours.
		for _, l := range ex.Request.Fields.All() {
			after = append(after, (&http.Request{Header: http.Header{"Cookie": {string(l)}}}).Cookies()...)
		}
		after = slices.DeleteFunc(after, func(c *http.Cookie) bool { return c.Name == "r" })
		at := 0
		for _, b := range before {
			if b.Name == "r" {
				continue
			}
			if at >= len(after) || after[at].String() != b.String() {
				t.Fatalf("%q, %q: %v is lost among %v", one, two, b, after)
			}
			at++
		}
	})
}

// The same replica has the same value in every process, another one with another
// secret or route, and none tells its identity.
func TestCookieValues(t *testing.T) {
	t.Parallel()
	plain := (&Sticky{On: true}).Cookies("compose:shop/web/default")
	if got := plain.Value("8c1f:80"); got != "6ec3f3276657eff8c6cdf924" {
		t.Errorf("the value is %q now: after an update of Portway, all visitors would move", got)
	}
	seen := map[string]bool{}
	for _, c := range []*Cookies{plain, (&Sticky{On: true, Secret: "s"}).Cookies("compose:shop/web/default"), (&Sticky{On: true}).Cookies("x")} {
		for _, id := range []string{"8c1f:80", "8c1f:81"} {
			v := c.Value(id)
			if seen[v] || strings.Contains(v, "8c1f") {
				t.Errorf("value %s of %s", v, id)
			}
			seen[v] = true
		}
	}
	if plain.name == (&Sticky{On: true}).Cookies("x").name {
		t.Error("two routes of one host share a cookie")
	}
}

func TestSetCookieLine(t *testing.T) {
	t.Parallel()
	c := (&Sticky{On: true, Cookie: "r", MaxAge: 90e9}).Cookies("x")
	got, err := http.ParseSetCookie(c.Line("v", true))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "r" || got.Value != "v" || got.Path != "/" || got.MaxAge != 90 || !got.Secure || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode || got.Domain != "" {
		t.Errorf("cookie %+v", got)
	}
	if strings.Contains(c.Line("v", false), "Secure") {
		t.Error("over plain HTTP, a browser would drop a cookie that is Secure")
	}
}

// FuzzKey: what is accepted is one of three forms, and gives every request a key.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"client", "header:X-Tenant", "cookie:session", "header: X", "cookie:", "Header:x", "header:a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var k Key
		if k.parse(s) != nil {
			return
		}
		ex := withCookies("session=1")
		defer exchange.Put(ex)
		if first := k.Of(ex); k.Of(ex) != first {
			t.Error("the key is another one each time")
		}
		if s != "client" && (k.Header == "") == (k.Cookie == "") {
			t.Errorf("%q is read as %+v", s, k)
		}
		if bytes.ContainsAny([]byte(k.Header+k.Cookie), " ;=\r\n\x00") {
			t.Errorf("%q is read as %+v", s, k)
		}
	})
}
