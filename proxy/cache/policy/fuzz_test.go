package policy

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever comes from outside is read without a panic, and to something that holds what
// the rest relies on.
func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{
		`max-age=1, s-maxage="2", no-cache="a, b"`, `a="\", no-store`, `max-age=1, max-age=2`, `private="Set-Cookie", stale-if-error=5`,
		`max-stale, min-fresh=5, only-if-cached`, ` , =,"`, `max-age=99999999999999999999999`, `no-cache="`, `no-store=x`,
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{"Cache-Control: " + first, "Cache-Control: " + second}
		x := fields(lines...)
		c := ParseResponse(x)
		e := Evaluate(http.StatusOK, x, &c, now, now, 0)
		if e.Lifetime < 0 || e.InitialAge < 0 {
			t.Errorf("%q: %+v", lines, e)
		}
		for _, name := range append(c.NoCacheFields, c.PrivateFields...) {
			if name == "" || strings.ToLower(name) != name {
				t.Errorf("field %q", name)
			}
		}
		q := ParseRequest(x)
		if use, stale := Decide(&q, &c, e.Lifetime, e.InitialAge); use == Reuse && stale && q.MaxStale == Absent {
			t.Errorf("%q: stale without having been asked for", lines)
		}
		// Strict directives are seen whatever surrounds them.
		for _, strict := range []string{"no-store", "private", "no-cache"} {
			with := fields(append(lines, "Cache-Control: "+strict)...)
			if c := ParseResponse(with); !c.NoStore && !c.Private && !c.NoCache {
				t.Errorf("%s is not seen behind %q", strict, lines)
			}
		}
		// What a longer list says is never laxer than what a part of it says.
		if part := ParseResponse(fields(lines[0])); part.NoStore && !c.NoStore || part.Private && !c.Private || part.NoCache && !c.NoCache ||
			part.MaxAge != Absent && c.MaxAge > part.MaxAge {
			t.Errorf("%q is laxer than %q", lines, lines[0])
		}
	})
}

func FuzzTargeted(f *testing.F) {
	for _, s := range []string{`max-age=1, a=(1 2);b="c"`, `x=@1, y=:a:`, `no-store;a, max-age=5`, `max-age=1.5`, `private="a\"b"`, `a=?1, b=?0`, `a,`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		x := fields("CDN-Cache-Control: "+value, "Cache-Control: no-store", "Expires: "+at(time.Hour))
		c := ParseResponse(x)
		if !c.Targeted && !c.NoStore {
			t.Errorf("%q is neither followed nor ignored", value)
		}
		if e := Evaluate(http.StatusOK, x, &c, now, now, 0); e.Lifetime < 0 {
			t.Errorf("%q: %+v", value, e)
		}
	})
}

func FuzzVary(f *testing.F) {
	for _, s := range []string{"gzip, br;q=0.5, x-gzip", "*", "Foo, ,BAR", "a b", "de;q=1.0,  EN", `"a,b", c`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, vary, value string) {
		vary = strings.Trim(vary, " \t") // as fields does
		names, star := VaryNames(fields("Vary: " + vary))
		if star != (names == nil) && strings.Trim(vary, " \t,") != "" {
			t.Errorf("%q: %q, %v", vary, names, star)
		}
		if !slices.IsSorted(names) || strings.Contains(vary, "*") && !star && !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "*") }) {
			t.Errorf("%q: %q, %v", vary, names, star)
		}
		for _, name := range []string{"accept-encoding", "accept-language", "foo"} {
			once := AppendValue(nil, name, fields(name+": "+value))
			if twice := AppendValue(nil, name, fields(name+": "+string(once[1:]))); !slices.Equal(once, twice) {
				t.Errorf("%s: %q gives %q, and that gives %q", name, value, once, twice)
			}
			if none := AppendValue(nil, name, fields()); bytes.Equal(once, none) {
				t.Errorf("%s: %q is the same as none", name, value)
			}
			if behind := AppendValue([]byte("before"), name, fields(name+": "+value)); string(behind) != "before"+string(once) {
				t.Errorf("%s: %q behind something else gives %q", name, value, behind)
			}
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-4", "bytes=-3", "bytes=5-", "bytes=9-2", "bytes=0-1,3-4", "chars=1-2", "BYTES = 1-2", "bytes 0-4/10", "bytes */10", "bytes 0-4/*"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, value string, size int64) {
		if size < 0 {
			return
		}
		if r, state := ParseRange([]byte(value), size); state == OneRange && (r.From < 0 || r.To > size || r.Len() < 1) {
			t.Errorf("%q of %d: %v", value, size, r)
		}
		if c, ok := ParseContentRange([]byte(value)); ok && (c.From < 0 || c.Len() < 1 || c.Size >= 0 && c.To > c.Size) {
			t.Errorf("%q: %v", value, c)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{at(0), "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Thu, 29 Feb 2024 23:59:60 GMT", "0", "Thu, 31 Apr 2050 00:00:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, date string) {
		d, ok := ParseDate([]byte(date), now)
		x := fields("Expires: "+date, "Date: "+at(0))
		c := ParseResponse(x)
		if e := Evaluate(http.StatusOK, x, &c, now, now, time.Hour); e.Lifetime < 0 || !e.Explicit || !ok && e.Lifetime > 0 {
			t.Errorf("%q: %+v", date, e)
		}
		if !ok {
			return
		}
		if again, ok := ParseDate(AppendDate(nil, d), now); d.Year() > 0 && d.Year() < 10000 && (!ok || !again.Equal(d)) {
			t.Errorf("%q is %v, and then %v", date, d, again)
		}
		if strict, err := http.ParseTime(date); err == nil && !strict.Equal(d) && !strings.Contains(date, "-") {
			t.Errorf("%q is %v, and %v by net/http", date, d, strict)
		}
	})
}

func FuzzAge(f *testing.F) {
	for _, s := range []string{"0", "5", "-5", "5.0", "7200, 0", "99999999999999999999", "5;a=b", `"5"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, age string) {
		x := fields("Cache-Control: max-age=10", "Age: "+age)
		c := ParseResponse(x)
		if e := Evaluate(http.StatusOK, x, &c, now, now, 0); e.InitialAge < 0 || e.Age(now, now.Add(time.Hour)) < time.Hour {
			t.Errorf("%q: %+v", age, e)
		}
	})
}

func FuzzConditions(f *testing.F) {
	f.Add(`"a", W/"b"`, `W/"b"`, at(0))
	f.Add(`*`, ``, "0")
	f.Add(`"a,b"`, `"a,b"`, "x")
	f.Fuzz(func(t *testing.T, tags, tag, date string) {
		tags, tag = strings.Trim(tags, " \t"), strings.Trim(tag, " \t") // as fields does
		stored := fields("ETag: "+tag, "Last-Modified: "+date, "Date: "+at(0))
		same := NotModified(fields("If-None-Match: "+tags), stored, now)
		if tag == tags && Weak([]byte(tag)) == false && strings.Count(tag, `"`) == 2 && tag[len(tag)-1] == '"' && !same {
			t.Errorf("%q is not the same as itself", tag)
		}
		NotModified(fields("If-Modified-Since: "+date), stored, now)
		if IfRange(fields("If-Range: "+tag), stored, now) && Weak([]byte(tag)) && tag != "" {
			if _, ok := ParseDate([]byte(tag), now); !ok {
				t.Errorf("a range by the weak %q", tag)
			}
		}
	})
}
