package cache_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// What a shared cache does with one answer, case by case: whether the next request for
// the same is answered from it. Times are those of the origin's clock.

// fresh are fields of answers that are used again without a question.
var fresh = []string{
	// RFC 9111, 5.2.2.1 and 1.2.2: max-age, and numbers too large for 31 bits.
	"Cache-Control: max-age=3600",
	"Cache-Control: max-age=2147483647",
	"Cache-Control: max-age=2147483648",
	"Cache-Control: max-age=2147483649",
	"Cache-Control: max-age=99999999999",
	"Cache-Control: max-age=99999999999999999999999",
	"Cache-Control: max-age=003600",
	`Cache-Control: max-age="3600"`,
	"Cache-Control: MaX-aGe=3600",
	// 5.2.3: what is not known does not matter.
	"Cache-Control: foobar, max-age=3600",
	`Cache-Control: foo="a, no-store", max-age=3600`,
	"Cache-Control: , ,max-age=3600,",
	"Cache-Control: max-age=3600, stale-while-revalidate=x",
	// 5.3: max-age goes before Expires, whatever that says.
	"Cache-Control: max-age=3600 | Expires: {-7200}",
	"Cache-Control: max-age=3600 | Expires: 0",
	// 5.2.2.10: s-maxage goes before both.
	"Cache-Control: s-maxage=3600",
	"Cache-Control: max-age=1, s-maxage=3600 | Age: 10",
	"Cache-Control: max-age=0, s-maxage=3600 | Expires: {-10}",
	"Cache-Control: max-age=0 | Cache-Control: s-maxage=3600",
	// 5.2.2.2, 5.2.2.8: they say what to do later.
	"Cache-Control: max-age=3600, must-revalidate",
	"Cache-Control: max-age=3600, proxy-revalidate",
	"Cache-Control: max-age=3600, immutable",
	// 5.1: an Age that is none does not count, of several the first does.
	"Cache-Control: max-age=3600 | Age: abc",
	"Cache-Control: max-age=3600 | Age: -7200",
	"Cache-Control: max-age=3600 | Age: 7200.0",
	"Cache-Control: max-age=3600 | Age: 7200;foo=bar",
	"Cache-Control: max-age=3600 | Age: 0,7200",
	"Cache-Control: max-age=3600 | Age: 0 | Age: 7200",
	"Cache-Control: max-age=3600 | Age: 0, 0",
	// 5.3 and 4.2: dates, in any of the three forms and in any case.
	"Expires: {+3600}",
	"Expires: {+3600} | Date: foo",
	"Expires: THU, 18 Aug 2050 02:01:18 GMT",
	"Expires: Thu, 18 AUG 2050 02:01:18 GMT",
	"Expires: Thu, 18 Aug 2050 02:01:18 gMT",
	"Expires: Thursday, 18-Aug-50 02:01:18 GMT",
	"Expires: Thu Aug 18 02:01:18 2050",
	// 4.2.2: a tenth of the time since the last change.
	"Last-Modified: {-600}",
	"Last-Modified: {-86400}",
	"Last-Modified: {-86400} | Content-Disposition: attachment; filename=a.txt",
	"Cache-Control: max-age=3600 | Content-Disposition: attachment; filename=a.txt",
	// 5.4: Pragma means nothing in an answer.
	"Cache-Control: max-age=3600 | Pragma: no-cache",
	"Last-Modified: {-86400} | Pragma: no-cache",
	"Cache-Control: max-age=3600 | Pragma: foo",
	// 5.2.2.3: a status that is understood lifts no-store.
	"Cache-Control: max-age=3600, no-store, must-understand",
	// RFC 9213: what is for caches like this one goes before all.
	"CDN-Cache-Control: max-age=3600",
	"CDN-Cache-Control: max-age=2147483648",
	"CDN-Cache-Control: max-age=99999999999",
	"CDN-Cache-Control: foobar, max-age=3600",
	"CDN-Cache-Control: foobar;a=b, max-age=3600;c",
	"CDN-Cache-Control: max-age=3600 | Expires: {-10000}",
	"CDN-Cache-Control: max-age=3600 | Expires: 0",
	"CDN-Cache-Control: max-age=3600 | Cache-Control: max-age=0",
	"CDN-Cache-Control: max-age=3600 | Cache-Control: no-store",
	"CDN-Cache-Control: max-age=3600 | Cache-Control: private",
	"CDN-Cache-Control: max-age=0 | CDN-Cache-Control: max-age=3600",
	// One that cannot be read counts for nothing.
	"CDN-Cache-Control: MaX-aGe=0 | Cache-Control: max-age=3600",
	"CDN-Cache-Control: max-age = 0 | Cache-Control: max-age=3600",
	"CDN-Cache-Control:  | Cache-Control: max-age=3600",
	// RFC 6265 is no reason not to store: only the answer's own cookies are.
	"Cache-Control: max-age=3600 | Set-Cookie2: a=b",
}

// notFresh are fields of answers that are not used again without a question.
var notFresh = []string{
	"Foo: bar",
	// RFC 9111, 4.2.1: better too old than too long.
	"Cache-Control: max-age=0",
	"Cache-Control: max-age=0 | Expires: {+3600}",
	"Cache-Control: max-age=-3600",
	"Cache-Control: max-age='3600'",
	"Cache-Control: max-age=a3600",
	"Cache-Control: max-age=3600a",
	"Cache-Control: max-age=3600.0",
	"Cache-Control: max-age=3600.5",
	"Cache-Control: max-age= 3600",
	"Cache-Control: max-age =3600",
	"Cache-Control: max-age",
	"Cache-Control: max-age=",
	"Cache-Control: max-age=1800, max-age=0",
	"Cache-Control: max-age=0, max-age=1800",
	"Cache-Control: max-age=1800 | Cache-Control: max-age=0",
	"Cache-Control: max-age=0 | Cache-Control: max-age=1800",
	`Cache-Control: extension="max-age=3600", max-age=0`,
	`Cache-Control: max-age=0, extension="max-age=3600"`,
	`Cache-Control: extension="max-age=3600`,
	`Cache-Control: extension="\", max-age=3600"`,
	"Cache-Control: max-age=3600, s-maxage=0",
	"Cache-Control: s-maxage=0, max-age=3600",
	"Cache-Control: max-age=3600 | Cache-Control: s-maxage=0",
	// 4.2.3: what counts is how old it was when it came.
	"Cache-Control: max-age=3600 | Age: 7200",
	"Cache-Control: max-age=3600 | Age: 7200,0",
	"Cache-Control: max-age=3600 | Age: 7200 | Age: 0",
	"Cache-Control: max-age=3600 | Age: 7200, 7200",
	"Cache-Control: max-age=3600 | Date: {-7200}",
	"Expires: {+10} | Date: {-10} | Age: 25",
	"Expires: {+20} | Date: {+10} | Age: 15",
	// 5.3: no date is a date in the past.
	"Expires: {-3600}",
	"Expires: {+0}",
	"Expires: {+300} | Date: {+400}",
	"Expires: 0",
	"Expires: ",
	"Expires: {+3600} | Expires: {-3600}",
	"Expires: Thu, 18 Aug 2050 02:01:18 UTC",
	"Expires: Thu, 18 Aug 2050 02:01:18 +0000",
	"Expires: Thu, 18 Aug 50 02:01:18 GMT",
	"Expires: Thu 18 Aug 2050 02:01:18 GMT",
	"Expires: Thu, 18  Aug  2050 02:01:18 GMT",
	"Expires: Thu, 18-Aug-2050 02:01:18 GMT",
	"Expires: Thu, 18 Aug 2050 02.01.18 GMT",
	"Expires: Thu, 18 Aug 2050 2:01:18 GMT",
	"Expires: Thu, 31 Apr 2050 02:01:18 GMT",
	// 4.2.2: too short to matter.
	"Last-Modified: {+600}",
	"Last-Modified: yesterday",
	// 5.2.2: not stored, or not used.
	"Cache-Control: private, max-age=3600",
	"Cache-Control: no-store",
	"Cache-Control: No-StOrE",
	"Cache-Control: no-store | Cache-Control: max-age=3600",
	"Cache-Control: max-age=3600, no-store | Expires: {+3600}",
	"Cache-Control: no-store=foo, max-age=3600",
	"Cache-Control: max-age=3600, no-cache | Expires: {+3600}",
	"Cache-Control: max-age=3600, No-CaChE | Expires: {+3600}",
	`Cache-Control: max-age=3600, no-cache=""`,
	`Cache-Control: max-age=3600, private="a`,
	"Cache-Control: max-age=3600, private=a",
	"Cache-Control: max-age=3600 | Set-Cookie: a=b",
	// RFC 9110, 12.5.5.
	"Cache-Control: max-age=3600 | Vary: *",
	"Cache-Control: max-age=3600 | Vary: *, *",
	"Cache-Control: max-age=3600 | Vary: * | Vary: *",
	"Cache-Control: max-age=3600 | Vary: , *",
	"Cache-Control: max-age=3600 | Vary:  | Vary: *",
	"Cache-Control: max-age=3600 | Vary: *, Foo",
	"Cache-Control: max-age=3600 | Vary: Foo, *",
	"Cache-Control: max-age=3600 | Vary: Foo | Vary: *",
	// RFC 9213.
	"CDN-Cache-Control: max-age=0",
	"CDN-Cache-Control: max-age=0 | Expires: {+3600}",
	"CDN-Cache-Control: max-age=0 | Cache-Control: max-age=3600",
	"CDN-Cache-Control: max-age=3600 | Age: 7200",
	"CDN-Cache-Control: private | Cache-Control: max-age=3600",
	"CDN-Cache-Control: no-cache | Cache-Control: max-age=3600",
	"CDN-Cache-Control: no-store | Cache-Control: max-age=3600 | Expires: {+3600}",
	"CDN-Cache-Control: max-age=3600, &&& | Cache-Control: no-store",
	`CDN-Cache-Control: max-age="3600" | Cache-Control: no-store`,
	"CDN-Cache-Control: max-age=3600.5 | Cache-Control: no-store",
	"CDN-Cache-Control: max-age = 3600 | Cache-Control: max-age=0",
	"CDN-Cache-Control: MaX-aGe=3600",
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	origin := newScript()
	s := serve(t, origin)
	for i, fields := range fresh {
		t.Run("fresh "+fields, func(t *testing.T) {
			t.Parallel()
			run(t, s, origin, fmt.Sprintf("/f%d", i), "GET\n<- 200 | "+fields+"\n=> 200 1\nGET\n=> 200 1 | Age: *")
		})
	}
	for i, fields := range notFresh {
		t.Run("not fresh "+fields, func(t *testing.T) {
			t.Parallel()
			run(t, s, origin, fmt.Sprintf("/n%d", i), "GET\n<- 200 | "+fields+"\n=> 200 1\nGET\n<- 200\n=> 200 2")
		})
	}
}

// Which answers are used again, by their status: all of them if they say how long (RFC
// 9111, 3), some also if they do not (RFC 9110, 15.1), and none for longer.
func TestStatus(t *testing.T) {
	t.Parallel()
	heuristic := map[int]bool{200: true, 203: true, 204: true, 300: true, 301: true, 308: true, 404: true, 405: true, 410: true, 414: true, 501: true}
	origin := newScript()
	s := serve(t, origin)
	for _, status := range []int{
		200, 201, 202, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 499, 500, 501, 502, 503, 504, 599,
	} {
		code := strconv.Itoa(status)
		first, second := "\n=> "+code+" 1\n", "\n=> "+code+" 2\n"
		if status == 204 {
			first, second = "\n=> 204\n", "\n=> 204\n"
		}
		again := "GET\n<- " + code + second
		play := func(name, fields string, kept bool) {
			t.Run(code+" "+name, func(t *testing.T) {
				t.Parallel()
				next := again
				if kept {
					next = "GET" + first
				}
				run(t, s, origin, "/"+code+"/"+strings.ReplaceAll(name, " ", "-"), "GET\n<- "+code+" | "+fields+first+next)
			})
		}
		play("fresh", "Cache-Control: max-age=3600", true)
		play("fresh by Expires", "Expires: {+3600}", true)
		play("stale", "Expires: {-3600} | Last-Modified: {-100000}", false)
		play("heuristic", "Last-Modified: {-86400}", heuristic[status])
		play("public", "Last-Modified: {-86400} | Cache-Control: public", true)
		play("must-understand", "Cache-Control: max-age=3600, no-store, must-understand", status != 299 && status != 499 && status != 599)
	}
}

// Which fields are stored with an answer (RFC 9111, 3.1), and which of them a 304
// replaces (3.2, 4.3.4).
func TestFields(t *testing.T) {
	t.Parallel()
	origin := newScript()
	s := serve(t, origin)
	for _, f := range []struct{ name, old, new, after string }{ // after: what is stored after the 304
		{"Test-Header", "a", "b", "b"},
		{"X-Test-Header", "a", "b", "b"},
		{"Content-Foo", "a", "b", "b"},
		{"X-Content-Foo", "a", "b", "b"},
		{"Cache-Control", "max-age=1", "max-age=3600", "max-age=3600"},
		{"Content-Encoding", "a", "b", "a"}, // the content is what it was
		{"Content-Range", "a", "b", "a"},
		{"Content-Location", "/a", "/b", "/b"},
		{"Content-MD5", "rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g==", "N7UdGUp1E+RbVvZSTy1R8g=="},
		{"Content-Security-Policy", "default-src 'self'", "default-src 'none'", "default-src 'none'"},
		{"Clear-Site-Data", "cache", "cookies", "cookies"},
		{"Expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT", "Mon, 11 Jan 2038 11:11:11 GMT"},
		{"Public-Key-Pins", "a", "b", "b"},
		{"Set-Cookie2", "a=b", "a=c", "a=c"},
		{"Strict-Transport-Security", "max-age=1", "max-age=2", "max-age=2"},
		{"WWW-Authenticate", "Basic", "Digest", "Digest"},
		{"X-Frame-Options", "deny", "sameorigin", "sameorigin"},
		{"X-XSS-Protection", "1", "0", "0"},
		{"Link", "</a>; rel=x", "</b>; rel=x", "</b>; rel=x"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			control := ""
			if f.name != "Cache-Control" {
				control = " | Cache-Control: max-age=3600"
			}
			run(t, s, origin, "/"+f.name, strings.NewReplacer("NAME", f.name, "OLD", f.old, "NEW", f.new, "AFTER", f.after, "CONTROL", control).Replace(`
				GET
				<- 200 | ETag: "a" | NAME: OLDCONTROL
				=> 200 1 | NAME: OLD
				GET | Cache-Control: max-stale
				=> 200 1 | NAME: OLD | Age: *
				GET | Cache-Control: no-cache
				-> GET | If-None-Match: "a"
				<- 304 | ETag: "a" | NAME: NEWCONTROL
				=> 200 1 | NAME: AFTER
				GET
				=> 200 1 | NAME: AFTER`))
		})
	}
	for _, name := range []string{"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization"} {
		t.Run("not "+name, func(t *testing.T) {
			t.Parallel()
			run(t, s, origin, "/"+name, "GET\n<- 200 | Cache-Control: max-age=3600 | "+name+": a\n=> 200 1 | "+name+": a\nGET\n=> 200 1 | -"+name)
		})
	}
}

// What a request that changes something invalidates (RFC 9111, 4.4).
func TestInvalidation(t *testing.T) {
	t.Parallel()
	origin := newScript()
	s := serve(t, origin)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO"} {
		for name, text := range map[string]string{
			"itself": `
				METHOD
				<- 200
				=> 200
				GET
				<- 200
				=> 200 3
				GET /other
				=> 200 1`,
			"nothing, since it failed": `
				METHOD
				<- 500
				=> 500
				METHOD
				<- 404
				=> 404
				GET
				=> 200 1`,
			"Location": `
				METHOD
				<- 201 | Location: {path}/other
				=> 201
				GET /other
				<- 200
				=> 200 2`,
			"Content-Location": `
				METHOD
				<- 200 | Content-Location: {path}/other
				=> 200
				GET /other
				<- 200
				=> 200 2`,
			"Location of a failure": `
				METHOD
				<- 500 | Location: {path}/other
				=> 500
				GET /other
				=> 200 1`,
			"nothing elsewhere": `
				METHOD
				<- 201 | Location: http://elsewhere.test{path}/other
				=> 201
				GET /other
				=> 200 1`,
		} {
			t.Run(method+" "+name, func(t *testing.T) {
				t.Parallel()
				before := "GET\n<- 200 | Cache-Control: max-age=3600\n=> 200 1\nGET /other\n<- 200 | Cache-Control: max-age=3600\n=> 200 1\n"
				run(t, s, origin, "/"+method+"/"+strings.ReplaceAll(name, " ", "-"), before+strings.ReplaceAll(text, "METHOD", method))
			})
		}
	}
}
