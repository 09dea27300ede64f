package policy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// RFC 9111 section 4.1.
func TestVary(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		names string
		star  bool
	}{
		{nil, "", false},
		{[]string{"Vary: Foo"}, "foo", false},
		{[]string{"Vary: b, A ,, B", "vary: c"}, "a b c", false},
		{[]string{"Content-Encoding: br", "Vary: b"}, "accept-encoding b", false},
		{[]string{"Vary: *"}, "", true},
		{[]string{"Vary: Foo, *"}, "", true},
		{[]string{"Vary: Foo", "Vary: *, Bar"}, "", true},
		{[]string{"Vary: Foo Bar"}, "", true},
	} {
		names, star := VaryNames(fields(c.lines...))
		if strings.Join(names, " ") != c.names || star != c.star {
			t.Errorf("%q: %q, %v", c.lines, names, star)
		}
	}
	same := func(name string, a, b []string, want bool) {
		t.Helper()
		x, y := AppendValue(nil, name, fields(a...)), AppendValue([]byte("before"), name, fields(b...))[len("before"):]
		if slices.Equal(x, y) != want {
			t.Errorf("%s: %q gives %q, %q gives %q", name, a, x, b, y)
		}
	}
	same("foo", []string{"Foo: 1"}, []string{"foo: 1"}, true)
	same("foo", []string{"Foo: 1"}, []string{"Foo: 2"}, false)
	same("foo", []string{"Foo: 1"}, nil, false)
	same("foo", []string{"Foo:"}, nil, false)
	same("foo", nil, []string{"Bar: 1"}, true)
	same("foo", []string{"Foo: 1, 2"}, []string{"Foo: 1", "Foo: 2"}, true)
	same("foo", []string{"Foo: 1,2"}, []string{"Foo: 1 ,   2"}, true)
	same("foo", []string{"Foo: 1,2"}, []string{"Foo: 2,1"}, false)
	same("foo", []string{"Foo: a"}, []string{"Foo: A"}, false)
	same("foo", []string{`Foo: "1, 2"`}, []string{`Foo: "1,2"`}, false)
	const ae, al = "accept-encoding", "accept-language"
	same(ae, []string{"Accept-Encoding: gzip, br"}, []string{"Accept-Encoding: BR,GZip"}, true)
	same(ae, []string{"Accept-Encoding: gzip;q=1.0, br"}, []string{"Accept-Encoding: br, x-gzip, gzip"}, true)
	same(ae, []string{"Accept-Encoding: gzip;q=0.5"}, []string{"Accept-Encoding: gzip ; q=0.5"}, true)
	same(ae, []string{"Accept-Encoding: gzip;q=0"}, []string{"Accept-Encoding: gzip"}, false)
	same(ae, []string{"Accept-Encoding: gzip;q=1x"}, []string{"Accept-Encoding: gzip"}, false)
	same(ae, []string{"Accept-Encoding: g zip"}, []string{"Accept-Encoding: gzip"}, false)
	same(al, []string{"Accept-Language: en, DE;q=0.5"}, []string{"Accept-Language: EN,de; q=0.5"}, true)
	same(al, []string{"Accept-Language: en, de"}, []string{"Accept-Language: de, en"}, false)
}

// RFC 9110 section 13, RFC 9111 section 4.3.2.
func TestNotModified(t *testing.T) {
	t.Parallel()
	lm := "Last-Modified: " + at(-time.Hour)
	for _, c := range []struct {
		name            string
		request, stored []string
		want            bool
	}{
		{"same", []string{`If-None-Match: "a"`}, []string{`ETag: "a"`}, true},
		{"other", []string{`If-None-Match: "b"`}, []string{`ETag: "a"`}, false},
		{"in a list", []string{`If-None-Match: "b","a" , "c"`}, []string{`ETag: "a"`}, true},
		{"second line", []string{`If-None-Match: "b"`, `If-None-Match: "a"`}, []string{`ETag: "a"`}, true},
		{"comma in a tag", []string{`If-None-Match: "x,y"`}, []string{`ETag: "y"`}, false},
		{"backslash in a tag", []string{`If-None-Match: "x\", "a"`}, []string{`ETag: "a"`}, true},
		{"weak there", []string{`If-None-Match: W/"a"`}, []string{`ETag: "a"`}, true},
		{"weak here", []string{`If-None-Match: "a"`}, []string{`ETag: W/"a"`}, true},
		{"any", []string{`If-None-Match: *`}, nil, true},
		{"no tag", []string{`If-None-Match: "a"`}, nil, false},
		{"empty", []string{`If-None-Match:`}, []string{`ETag: "a"`}, false},
		{"tag before date", []string{`If-None-Match: "b"`, "If-Modified-Since: " + at(0)}, []string{`ETag: "a"`, lm}, false},
		{"not changed", []string{"If-Modified-Since: " + at(-time.Hour)}, []string{lm}, true},
		{"changed", []string{"If-Modified-Since: " + at(-2*time.Hour)}, []string{lm}, false},
		{"another form", []string{"If-Modified-Since: " + now.Add(-time.Hour).Format("Monday, 02-Jan-06 15:04:05 GMT")}, []string{lm}, true},
		{"no date", []string{"If-Modified-Since: x"}, []string{lm}, false},
		{"Date in place of Last-Modified", []string{"If-Modified-Since: " + at(-time.Minute)}, []string{"Date: " + at(-time.Minute)}, true},
		{"when it came", []string{"If-Modified-Since: " + at(-time.Minute)}, nil, false},
	} {
		if got := NotModified(fields(c.request...), fields(c.stored...), now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// RFC 9110 section 14.
func TestRanges(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]struct {
		r     Range
		state RangeState
	}{
		"bytes=0-4": {Range{0, 5}, OneRange}, "bytes=5-": {Range{5, 10}, OneRange}, "bytes=-3": {Range{7, 10}, OneRange},
		"bytes=-30": {Range{0, 10}, OneRange}, "Bytes=5-30": {Range{5, 10}, OneRange}, "bytes=9-9": {Range{9, 10}, OneRange},
		"bytes=10-": {Range{}, Unsatisfiable}, "bytes=-0": {Range{}, Unsatisfiable},
		"bytes=4-3": {}, "bytes=0-1,3-4": {}, "bytes=a-b": {}, "bytes=": {}, "bytes=-": {}, "lines=0-1": {}, "": {}, "bytes=1": {},
		"bytes=9999999999999999999-": {},
	} {
		if r, state := ParseRange([]byte(value), 10); r != want.r || state != want.state {
			t.Errorf("%q: %v, %v", value, r, state)
		}
	}
	lm, date := "Last-Modified: "+at(-time.Hour), "Date: "+at(0)
	for _, c := range []struct {
		request, stored []string
		want            bool
	}{
		{nil, nil, true},
		{[]string{`If-Range: "a"`}, []string{`ETag: "a"`}, true},
		{[]string{`If-Range: "b"`}, []string{`ETag: "a"`}, false},
		{[]string{`If-Range: W/"a"`}, []string{`ETag: W/"a"`}, false},
		{[]string{"If-Range: " + at(-time.Hour)}, []string{lm, date}, true},
		{[]string{"If-Range: " + at(0)}, []string{lm, date}, false},
		{[]string{"If-Range: " + at(0)}, []string{"Last-Modified: " + at(0), date}, false},
		{[]string{"If-Range: x"}, []string{lm, date}, false},
	} {
		if got := IfRange(fields(c.request...), fields(c.stored...), now); got != c.want {
			t.Errorf("%q for %q: %v", c.request, c.stored, got)
		}
	}
	for value, want := range map[string]ContentRange{
		"bytes 0-4/10": {Range{0, 5}, 10}, "bytes 5-9/*": {Range{5, 10}, -1},
		"bytes 5-10/10": {}, "bytes 5-4/10": {}, "bytes */10": {}, "bytes 0-4": {}, "x 0-4/10": {}, "": {},
	} {
		if got, ok := ParseContentRange([]byte(value)); got != want || ok != (want.To > 0) {
			t.Errorf("%q: %v, %v", value, got, ok)
		}
	}
}

// RFC 9111 sections 3.2 and 4.3.4.
func TestUpdated(t *testing.T) {
	t.Parallel()
	stored := fields("A: 1", "A: 2", "B: 1", "Content-Length: 5", "Content-Encoding: gzip", `ETag: "a"`)
	fresh := fields("a: 3", "C: 4", "Content-Encoding: br", "Content-Length: 0", "Age: 5", "X-User: me")
	control := ParseResponse(fields(`Cache-Control: private="x-user"`))
	got := Updated(stored, fresh, &control)
	var lines []string
	for name, value := range got.All() {
		lines = append(lines, string(name)+": "+string(value))
	}
	if want := "B: 1|Content-Length: 5|Content-Encoding: gzip|ETag: \"a\"|a: 3|C: 4"; strings.Join(lines, "|") != want {
		t.Errorf("%q", lines)
	}
	for _, c := range []struct {
		fresh []string
		want  bool
	}{
		{nil, true},
		{[]string{`ETag: "a"`}, true},
		{[]string{`ETag: W/"a"`}, true},
		{[]string{`ETag: "b"`}, false},
		{[]string{"Last-Modified: " + at(0)}, true},
	} {
		if SameValidator(stored, fields(c.fresh...)) != c.want {
			t.Errorf("%q", c.fresh)
		}
	}
	if SameValidator(fields("Last-Modified: "+at(0)), fields("Last-Modified: "+at(time.Second))) {
		t.Error("another Last-Modified is taken for the same")
	}
}
