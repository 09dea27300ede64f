package policy

import (
	"strings"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// fields makes some of lines "Name: value".
func fields(lines ...string) *exchange.Fields {
	f := &exchange.Fields{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		f.AddString(name, strings.Trim(value, " \t")) // as fronts do
	}
	return f
}

var now = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) string { return string(AppendDate(nil, now.Add(d))) }

// lifetimes: how long is a response with these fields fresh, in seconds, if it came
// at once? RFC 9111 section 4.2.
func TestLifetime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		lines   []string
		seconds int
	}{
		// 5.2.2.1 max-age, and how directives are written (5.2).
		{"max-age", []string{"Cache-Control: max-age=100"}, 100},
		{"case", []string{"cache-control: MaX-aGe=100"}, 100},
		{"zero", []string{"Cache-Control: max-age=0"}, 0},
		{"leading zeros", []string{"Cache-Control: max-age=00100"}, 100},
		{"largest number", []string{"Cache-Control: max-age=2147483648"}, 1 << 31},
		{"too large", []string{"Cache-Control: max-age=99999999999999999999999"}, 1 << 31},
		{"quoted", []string{`Cache-Control: max-age="100"`}, 100},
		{"single quotes", []string{`Cache-Control: max-age='100'`}, 0},
		{"negative", []string{"Cache-Control: max-age=-100"}, 0},
		{"decimal", []string{"Cache-Control: max-age=100.0"}, 0},
		{"letter behind", []string{"Cache-Control: max-age=100a"}, 0},
		{"letter before", []string{"Cache-Control: max-age=a100"}, 0},
		{"no number", []string{"Cache-Control: max-age="}, 0},
		{"no argument", []string{"Cache-Control: max-age"}, 0},
		{"space before =", []string{"Cache-Control: max-age =100"}, 0},
		{"space behind =", []string{"Cache-Control: max-age= 100"}, 0},
		{"other directives around", []string{"Cache-Control: a, b=1,, max-age=100 ,c=\"x\""}, 100},
		{"second line", []string{"Cache-Control: public", "Cache-Control: max-age=100"}, 100},
		{"in a string only", []string{`Cache-Control: ext="max-age=100", max-age=1`}, 1},
		{"in a string with an escaped mark", []string{`Cache-Control: ext="\", max-age=100, \"", max-age=1`}, 1},
		{"string that does not end", []string{`Cache-Control: ext="x, max-age=100`}, 0},
		{"twice, first longer", []string{"Cache-Control: max-age=100, max-age=1"}, 1},
		{"twice, last longer, two lines", []string{"Cache-Control: max-age=1", "Cache-Control: max-age=100"}, 1},
		{"twice, one wrong", []string{"Cache-Control: max-age=100, max-age=x"}, 0},
		// 5.2.2.10 s-maxage, 5.3 Expires: precedence of 4.2.1.
		{"s-maxage longer", []string{"Cache-Control: max-age=1, s-maxage=100"}, 100},
		{"s-maxage shorter", []string{"Cache-Control: s-maxage=1, max-age=100"}, 1},
		{"s-maxage wrong", []string{"Cache-Control: s-maxage=x, max-age=100"}, 0},
		{"Expires", []string{"Expires: " + at(100*time.Second)}, 100},
		{"Expires and Date", []string{"Date: " + at(-50*time.Second), "Expires: " + at(50*time.Second)}, 100},
		{"Expires in the past", []string{"Expires: " + at(-time.Second)}, 0},
		{"max-age over Expires", []string{"Cache-Control: max-age=100", "Expires: 0"}, 100},
		{"max-age=0 over Expires", []string{"Cache-Control: max-age=0", "Expires: " + at(time.Hour)}, 0},
		{"Expires 0", []string{"Expires: 0", "Last-Modified: " + at(-1000*time.Second)}, 0},
		{"Expires twice", []string{"Expires: " + at(time.Hour), "Expires: " + at(time.Second)}, 1},
		{"Expires twice, one wrong", []string{"Expires: " + at(time.Hour), "Expires: x"}, 0},
		{"Expires in 50 years", []string{"Expires: " + at(50*365*24*time.Hour)}, 50 * 365 * 86400},
		// 4.2.2 heuristics: only without a word of the origin.
		{"a tenth", []string{"Last-Modified: " + at(-1000*time.Second)}, 100},
		{"a day at most", []string{"Last-Modified: " + at(-10000*time.Hour)}, 86400},
		{"changed in the future", []string{"Last-Modified: " + at(time.Hour)}, 0},
		{"nothing", nil, 0},
		// RFC 9213.
		{"CDN-Cache-Control", []string{"CDN-Cache-Control: max-age=100"}, 100},
		{"CDN-Cache-Control over all", []string{"CDN-Cache-Control: max-age=100", "Cache-Control: max-age=1, s-maxage=2", "Expires: 0"}, 100},
		{"CDN-Cache-Control shorter", []string{"CDN-Cache-Control: max-age=1", "Cache-Control: max-age=100"}, 1},
		{"CDN-Cache-Control with s-maxage", []string{"CDN-Cache-Control: max-age=1, s-maxage=100"}, 100},
		{"CDN-Cache-Control, two lines", []string{"CDN-Cache-Control: a", "CDN-Cache-Control: max-age=100;p=1"}, 100},
		{"CDN-Cache-Control, the last counts", []string{"CDN-Cache-Control: max-age=1, max-age=100"}, 100},
		{"CDN-Cache-Control not well-formed", []string{"CDN-Cache-Control: max-age=100, &&&", "Cache-Control: max-age=1"}, 1},
		{"CDN-Cache-Control, name in capitals", []string{"CDN-Cache-Control: MAX-AGE=100", "Cache-Control: max-age=1"}, 1},
		{"CDN-Cache-Control, comma at the end", []string{"CDN-Cache-Control: max-age=100,", "Cache-Control: max-age=1"}, 1},
		{"CDN-Cache-Control empty", []string{"CDN-Cache-Control: ", "Cache-Control: max-age=1"}, 1},
		{"CDN-Cache-Control, number as string", []string{`CDN-Cache-Control: max-age="100"`, "Cache-Control: max-age=1"}, 0},
		{"CDN-Cache-Control, decimal", []string{"CDN-Cache-Control: max-age=100.5", "Cache-Control: max-age=1"}, 0},
		{"CDN-Cache-Control, too large", []string{"CDN-Cache-Control: max-age=999999999999999"}, 1 << 31},
		{"CDN-Cache-Control, negative", []string{"CDN-Cache-Control: max-age=-5", "Cache-Control: max-age=1"}, 0},
		{"CDN-Cache-Control, all types around", []string{`CDN-Cache-Control: a=?0, b=tok;x="y";z, c=:aGk=:, d=(1 "a" b);q=1, e=@100, max-age=100, f=-1.5`}, 100},
	} {
		f := fields(c.lines...)
		control := ParseResponse(f)
		if got := Evaluate(200, f, &control, now, now, 0).Lifetime; got != time.Duration(c.seconds)*time.Second {
			t.Errorf("%s: %q is fresh for %v, want %d s", c.name, c.lines, got, c.seconds)
		}
	}
}

// What is too far away to be counted must not become the past.
func TestFarDates(t *testing.T) {
	t.Parallel()
	f := fields("Expires: Fri, 31 Dec 9999 23:59:59 GMT", "Date: Mon, 01 Jan 0001 00:00:00 GMT")
	control := ParseResponse(f)
	e := Evaluate(200, f, &control, now, now, 0)
	if hundred := 100 * 365 * 24 * time.Hour; e.Lifetime < hundred || e.InitialAge < hundred || e.Age(now, now.Add(time.Hour)) < hundred {
		t.Errorf("%+v", e)
	}
}

// The default lifetime is for what may be stored without a word of the origin.
func TestDefaultLifetime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		lines  []string
		want   time.Duration
	}{
		{200, nil, time.Minute},
		{404, []string{"Last-Modified: " + at(-time.Hour)}, time.Minute},
		{302, nil, 0},
		{302, []string{"Cache-Control: public"}, time.Minute},
		{500, nil, 0},
		{200, []string{"Cache-Control: max-age=0"}, 0},
		{200, []string{"Expires: 0"}, 0},
	} {
		f := fields(c.lines...)
		control := ParseResponse(f)
		if got := Evaluate(c.status, f, &control, now, now, time.Minute).Lifetime; got != c.want {
			t.Errorf("%d %q: %v, want %v", c.status, c.lines, got, c.want)
		}
	}
}

// RFC 9111 section 4.2.3.
func TestAge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		lines   []string
		delay   time.Duration
		seconds int
	}{
		{"nothing", nil, 0, 10},
		{"Age", []string{"Age: 30"}, 0, 40},
		{"Age and a slow answer", []string{"Age: 30"}, 5 * time.Second, 45},
		{"Date", []string{"Date: " + at(-time.Minute)}, 0, 70},
		{"Date in the future", []string{"Date: " + at(time.Minute)}, 0, 10},
		{"Date that is none", []string{"Date: yesterday"}, 0, 10},
		{"the larger one", []string{"Date: " + at(-time.Minute), "Age: 30"}, 0, 70},
		// Section 5.1.
		{"list", []string{"Age: 30, 0"}, 0, 40},
		{"list, first one small", []string{"Age: 0, 30"}, 0, 10},
		{"two lines", []string{"Age: 30", "Age: 0"}, 0, 40},
		{"letters", []string{"Age: abc"}, 0, 10},
		{"letter behind", []string{"Age: 30a"}, 0, 10},
		{"letter before", []string{"Age: a30"}, 0, 10},
		{"negative", []string{"Age: -30"}, 0, 10},
		{"decimal", []string{"Age: 30.0"}, 0, 10},
		{"parameter", []string{"Age: 30;a=b"}, 0, 10},
		{"large", []string{"Age: 2147483648"}, 0, 1<<31 + 10},
		{"too large", []string{"Age: 99999999999999999999"}, 0, 1<<31 + 10},
	} {
		f := fields(c.lines...)
		control := ParseResponse(f)
		fresh := Evaluate(200, f, &control, now.Add(-c.delay), now, 0)
		if got := fresh.Age(now, now.Add(10*time.Second)); got != time.Duration(c.seconds)*time.Second {
			t.Errorf("%s: %q is %v old, want %d s", c.name, c.lines, got, c.seconds)
		}
	}
}

// RFC 9110 section 5.6.7, RFC 9111 section 4.2.
func TestParseDate(t *testing.T) {
	t.Parallel()
	good := time.Date(2026, time.November, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{
		"Fri, 06 Nov 2026 08:49:37 GMT", "FRI, 06 nov 2026 08:49:37 gmt",
		"Friday, 06-Nov-26 08:49:37 GMT", "Fri Nov  6 08:49:37 2026", "Fri Nov 06 08:49:37 2026",
	} {
		if got, ok := ParseDate([]byte(s), now); !ok || !got.Equal(good) {
			t.Errorf("%q: %v, %v", s, got, ok)
		}
	}
	if got, ok := ParseDate([]byte("Sunday, 06-Nov-94 08:49:37 GMT"), now); !ok || got.Year() != 1994 {
		t.Errorf("two digits of a year: %v, %v", got, ok)
	}
	for _, s := range []string{
		"", "0", "-1", "abc", ",", "Fri,", "Fri, 06 Nov 2026 08:49:37", "Fri, 06 Nov 2026 08:49:37 UTC", "Fri, 06 Nov 2026 08:49:37 CET",
		"Fri, 06 Nov 2026 08:49:37 +0000", "Fri, 6 Nov 2026 08:49:37 GMT", "Fri, 06 Nov 26 08:49:37 GMT", "Fri 06 Nov 2026 08:49:37 GMT",
		"Fri, 06  Nov 2026 08:49:37 GMT", "Fri, 06 Nov 2026 8:49:37 GMT", "Fri, 06 Nov 2026 08.49.37 GMT", "Fri, 06-Nov-2026 08:49:37 GMT",
		"Fri, 31 Nov 2026 08:49:37 GMT", "Fri, 00 Nov 2026 08:49:37 GMT", "Fri, 06 Foo 2026 08:49:37 GMT", "Fri, 06 Nov 2026 25:49:37 GMT",
		"Xxx, 06 Nov 2026 08:49:37 GMT", "Friday, 06-Nov-2026 08:49:37 GMT", "2026-11-06T08:49:37Z",
	} {
		if got, ok := ParseDate([]byte(s), now); ok {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}

// RFC 9111 section 3.
func TestStorable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		status   int
		response []string
		request  []string
		personal bool
		want     bool
	}{
		{"plain", 200, nil, nil, false, true},
		{"no-store", 200, []string{"Cache-Control: No-StorE, max-age=10"}, nil, false, false},
		{"no-store with an argument", 200, []string{"Cache-Control: no-store=1, max-age=10"}, nil, false, false},
		{"no-store behind a string that does not end", 200, []string{`Cache-Control: a="b, no-store`}, nil, false, false},
		{"private", 200, []string{"Cache-Control: private, max-age=10"}, nil, false, false},
		{"private with fields", 200, []string{`Cache-Control: private="X-User", max-age=10`}, nil, false, true},
		{"private with a token", 200, []string{`Cache-Control: private=X-User, max-age=10`}, nil, false, false},
		{"no-cache", 200, []string{"Cache-Control: no-cache"}, nil, false, true},
		{"request no-store", 200, []string{"Cache-Control: max-age=10"}, []string{"Cache-Control: no-store"}, false, false},
		{"Authorization", 200, []string{"Cache-Control: max-age=10"}, nil, true, false},
		{"Authorization, public", 200, []string{"Cache-Control: max-age=10, public"}, nil, true, true},
		{"Authorization, s-maxage", 200, []string{"Cache-Control: s-maxage=10"}, nil, true, true},
		{"Authorization, must-revalidate", 200, []string{"Cache-Control: max-age=10, must-revalidate"}, nil, true, true},
		{"Authorization, proxy-revalidate", 200, []string{"Cache-Control: max-age=10, proxy-revalidate"}, nil, true, false},
		{"302", 302, nil, nil, false, false},
		{"302 with max-age", 302, []string{"Cache-Control: max-age=10"}, nil, false, true},
		{"302 with Expires", 302, []string{"Expires: " + at(time.Hour)}, nil, false, true},
		{"unknown status, public", 599, []string{"Cache-Control: public"}, nil, false, true},
		{"206", 206, []string{"Cache-Control: max-age=10"}, nil, false, false},
		{"304", 304, []string{"Cache-Control: max-age=10"}, nil, false, false},
		{"must-understand, known", 200, []string{"Cache-Control: must-understand, no-store, max-age=10"}, nil, false, true},
		{"must-understand, unknown", 299, []string{"Cache-Control: must-understand, max-age=10"}, nil, false, false},
		{"must-understand and private", 200, []string{"Cache-Control: must-understand, private, max-age=10"}, nil, false, false},
		{"CDN-Cache-Control over no-store", 200, []string{"CDN-Cache-Control: max-age=10", "Cache-Control: no-store"}, nil, false, true},
		{"CDN-Cache-Control: no-store", 200, []string{"CDN-Cache-Control: no-store", "Cache-Control: max-age=10"}, nil, false, false},
		{"CDN-Cache-Control: private", 200, []string{"CDN-Cache-Control: private", "Cache-Control: max-age=10"}, nil, false, false},
		{"CDN-Cache-Control: no-store=?0", 200, []string{"CDN-Cache-Control: no-store=?0"}, nil, false, true},
		{"CDN-Cache-Control and Expires", 302, []string{"CDN-Cache-Control: a", "Expires: " + at(time.Hour)}, nil, false, false},
	} {
		f := fields(c.response...)
		control, q := ParseResponse(f), ParseRequest(fields(c.request...))
		if got := Storable(&q, c.personal, c.status, f, &control); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for status, want := range map[int]bool{
		200: true, 201: false, 202: false, 203: true, 204: true, 206: false, 300: true, 301: true, 303: false, 307: false, 308: true,
		400: false, 403: false, 404: true, 405: true, 410: true, 414: true, 500: false, 501: true, 502: false, 503: false, 504: false,
	} {
		control, q := ParseResponse(fields()), ParseRequest(fields())
		if got := Storable(&q, false, status, fields(), &control); got != want {
			t.Errorf("%d without a word of the origin: %v", status, got)
		}
	}
}

// RFC 9111 sections 4.2.4, 5.2.1 and 5.2.2, RFC 5861: what is 50 s old may be used
// or not.
func TestDecide(t *testing.T) {
	t.Parallel()
	const fresh, stale = "max-age=60", "max-age=40"
	for _, c := range []struct {
		request, response string
		want              Use
	}{
		{"", fresh, Reuse},
		{"", stale, Validate},
		{"", fresh + ", no-cache", Validate},
		{"", fresh + `, no-cache="Set-Cookie"`, Reuse},
		{"", fresh + ", must-revalidate", Reuse},
		{"no-cache", fresh, Validate},
		{"max-age=0", fresh, Validate},
		{"max-age=49", fresh, Validate},
		{"max-age=50", fresh, Reuse},
		{"max-age=x", fresh, Validate},
		{"min-fresh=10", fresh, Reuse},
		{"min-fresh=11", fresh, Validate},
		{"min-fresh=x", fresh, Reuse},
		{"max-stale", stale, Reuse},
		{"max-stale=10", stale, Reuse},
		{"max-stale=9", stale, Validate},
		{"max-stale=x", stale, Validate},
		{"max-stale", stale + ", must-revalidate", Validate},
		{"max-stale", stale + ", proxy-revalidate", Validate},
		{"max-stale", "s-maxage=40", Validate},
		{"max-stale", stale + ", no-cache", Validate},
		{"", stale + ", stale-while-revalidate=10", Background},
		{"", stale + ", stale-while-revalidate=9", Validate},
		{"", stale + ", stale-while-revalidate=x", Validate},
		{"", stale + ", stale-while-revalidate=10, must-revalidate", Validate},
		{"", "s-maxage=40, stale-while-revalidate=10", Background},
		{"max-age=60", stale + ", stale-while-revalidate=10", Validate},
		{"", stale + ", stale-if-error=10", Validate},
	} {
		f := fields("Cache-Control: " + c.response)
		control := ParseResponse(f)
		qf := fields()
		if c.request != "" {
			qf = fields("Cache-Control: " + c.request)
		}
		q := ParseRequest(qf)
		e := Evaluate(200, f, &control, now, now, 0)
		if got, _ := Decide(&q, &control, e.Lifetime, 50*time.Second); got != c.want {
			t.Errorf("%q for %q: %d, want %d", c.response, c.request, got, c.want)
		}
	}
	if q := ParseRequest(fields("Pragma: no-cache")); !q.NoCache {
		t.Error("Pragma: no-cache does not count")
	}
	if q := ParseRequest(fields("Pragma: no-cache", "Cache-Control: max-age=10")); q.NoCache {
		t.Error("Pragma counts beside Cache-Control")
	}
}

func TestOnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		request, response string
		def               time.Duration
		want              bool
	}{
		{"", "max-age=40", 0, false},
		{"", "max-age=40", 10 * time.Second, true},
		{"", "max-age=40", 9 * time.Second, false},
		{"", "max-age=40, stale-if-error=10", 0, true},
		{"", "max-age=40, stale-if-error=9", time.Hour, false},
		{"", "max-age=40, stale-if-error=10, must-revalidate", time.Hour, false},
		{"", "max-age=40, stale-if-error=10, proxy-revalidate", time.Hour, false},
		{"", "max-age=40, no-cache, stale-if-error=10", time.Hour, false},
		{"", "s-maxage=40", time.Hour, false},
		{"", "s-maxage=40, stale-if-error=10", 0, true},
		{"stale-if-error=10", "max-age=40", 0, true},
		{"no-cache, stale-if-error=10", "max-age=40", 0, false},
	} {
		control := ParseResponse(fields("Cache-Control: " + c.response))
		qf := fields()
		if c.request != "" {
			qf = fields("Cache-Control: " + c.request)
		}
		q := ParseRequest(qf)
		if got := OnError(&q, &control, 40*time.Second, 50*time.Second, c.def); got != c.want {
			t.Errorf("%q for %q, default %v: %v", c.response, c.request, c.def, got)
		}
	}
}
