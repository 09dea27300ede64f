package cache_test

import (
	"fmt"
	"testing"
)

// cases are what a shared cache does, by section of RFC 9111 where no other one is
// named. Package policy has the details of parsing and of freshness; here is what
// comes of it over the wire.
var cases = []struct{ name, text string }{
	// Freshness (4.2).
	{"fresh by max-age", `
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 1 | -Age | Cache-Status: Portway; fwd=uri-miss; fwd-status=200; stored; ttl=*
		GET
		=> 200 1 | Age: 0 | Cache-Status: Portway; hit; ttl=*`},
	{"nothing said, nothing known", `
		GET
		<- 200
		=> 200 1 | Cache-Status: Portway; fwd=uri-miss
		GET
		<- 200
		=> 200 2`},
	{"stale by Age", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 100
		=> 200 1 | Age: 100
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 2 | -Age
		GET
		=> 200 2`},
	{"stale by Date", `
		GET
		<- 200 | Cache-Control: max-age=100 | Date: {-200}
		=> 200 1
		GET
		<- 200
		=> 200 2`},
	{"Age goes on", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 30
		=> 200 1 | Age: 30
		GET
		=> 200 1 | Age: 30`},
	{"s-maxage over max-age", `
		GET
		<- 200 | Cache-Control: max-age=0, s-maxage=100
		=> 200 1
		GET
		=> 200 1`},
	{"Expires", `
		GET
		<- 200 | Expires: {+100}
		=> 200 1
		GET
		=> 200 1`},
	{"Expires in the past", `
		GET
		<- 200 | Expires: {-100} | Last-Modified: {-100000}
		=> 200 1
		GET
		<- 200
		=> 200 2`},
	{"no Date: one is added (RFC 9110, 6.6.1)", `
		GET
		<- 200 | Cache-Control: max-age=100 | -Date
		=> 200 1 | Date: *
		GET
		=> 200 1 | Date: *`},
	{"Date is that of the origin", `
		GET
		<- 200 | Cache-Control: max-age=10000 | Date: {-100}
		=> 200 1
		GET
		=> 200 1 | Date: {-100}`},
	// Heuristics (4.2.2) and status codes (RFC 9110, 15.1).
	{"a tenth of the time since Last-Modified", `
		GET
		<- 200 | Last-Modified: {-100000}
		=> 200 1
		GET
		=> 200 1`},
	{"no heuristics for 302", `
		GET
		<- 302 | Last-Modified: {-100000} | Location: /x
		=> 302 1
		GET
		<- 302 | Last-Modified: {-100000} | Location: /x
		=> 302 2`},
	{"public allows heuristics", `
		GET
		<- 599 | Last-Modified: {-100000} | Cache-Control: public
		=> 599 1
		GET
		=> 599 1`},
	// Storing (3, 5.2.2).
	{"no-store", `
		GET
		<- 200 | Cache-Control: no-store, max-age=100
		=> 200 1
		GET
		<- 200
		=> 200 2`},
	{"no-store does not outlive its answer", `
		GET
		<- 200 | Cache-Control: no-store
		=> 200 1
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 2
		GET
		=> 200 2`},
	{"no-store drops what was stored before", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET
		-> GET | If-None-Match: "a"
		<- 200 | Cache-Control: no-store
		=> 200 2
		GET
		-> GET | -If-None-Match
		<- 200
		=> 200 3`},
	{"private", `
		GET
		<- 200 | Cache-Control: private, max-age=100
		=> 200 1
		GET
		<- 200
		=> 200 2`},
	{"private fields are not stored", `
		GET
		<- 200 | Cache-Control: private="X-User, Set-Cookie", max-age=100 | X-User: me | Set-Cookie: a=b | Foo: bar
		=> 200 1 | X-User: me | Set-Cookie: a=b
		GET
		=> 200 1 | -X-User | -Set-Cookie | Foo: bar`},
	{"no-cache fields are not used", `
		GET
		<- 200 | Cache-Control: no-cache="X-User", max-age=100 | X-User: me
		=> 200 1
		GET
		=> 200 1 | -X-User`},
	{"no-cache", `
		GET
		<- 200 | Cache-Control: no-cache, max-age=100 | ETag: "a"
		=> 200 1
		GET
		-> GET | If-None-Match: "a"
		<- 304 | Cache-Control: no-cache, max-age=100 | ETag: "a"
		=> 200 1 | ETag: "a"`},
	{"must-revalidate", `
		GET
		<- 200 | Cache-Control: must-revalidate, max-age=100
		=> 200 1
		GET
		=> 200 1`},
	{"must-understand, known status", `
		GET
		<- 200 | Cache-Control: must-understand, no-store, max-age=100
		=> 200 1
		GET
		=> 200 1`},
	{"must-understand, unknown status", `
		GET
		<- 299 | Cache-Control: must-understand, max-age=100
		=> 299 1
		GET
		<- 299
		=> 299 2`},
	{"Set-Cookie is not for all", `
		GET
		<- 200 | Cache-Control: public, max-age=100 | Set-Cookie: a=b
		=> 200 1 | Set-Cookie: a=b
		GET
		<- 200
		=> 200 2 | -Set-Cookie`},
	{"an event stream is for one", `
		GET
		<- 200 | Cache-Control: max-age=100 | Content-Type: text/event-stream
		=> 200 1
		GET
		<- 200
		=> 200 2`},
	{"empty content", `
		GET
		<- 204 | Cache-Control: max-age=100
		=> 204 | content: 
		GET
		=> 204 | content: `},
	{"addresses differ by their query", `
		GET ?a=1
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		GET ?a=2
		<- 200 | Cache-Control: max-age=100
		=> 200 2
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 3
		GET ?a=1
		=> 200 1`},
	// Authorization (3.5).
	{"Authorization", `
		GET | Authorization: Basic eA==
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		GET | Authorization: Basic eA==
		<- 200
		=> 200 2`},
	{"Authorization and public", `
		GET | Authorization: Basic eA==
		<- 200 | Cache-Control: max-age=100, public
		=> 200 1
		GET | Authorization: Basic eQ==
		=> 200 1
		GET
		=> 200 1`},
	{"Authorization and must-revalidate", `
		GET | Authorization: Basic eA==
		<- 200 | Cache-Control: max-age=100, must-revalidate
		=> 200 1
		GET | Authorization: Basic eA==
		=> 200 1`},
	{"Authorization and s-maxage", `
		GET | Authorization: Basic eA==
		<- 200 | Cache-Control: s-maxage=100
		=> 200 1
		GET | Authorization: Basic eA==
		=> 200 1`},
	{"Authorization does not get what strangers got", `
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		GET | Authorization: Basic eA==
		<- 200 | Cache-Control: max-age=100
		=> 200 2
		GET
		=> 200 1`},
	// Requests (5.2.1).
	{"request no-cache", `
		GET
		<- 200 | Cache-Control: max-age=100 | ETag: "a"
		=> 200 1
		GET | Cache-Control: no-cache
		-> GET | If-None-Match: "a"
		<- 304 | ETag: "a"
		=> 200 1
		GET | Pragma: no-cache
		<- 200 | Cache-Control: max-age=100
		=> 200 3 | Cache-Status: Portway; fwd=request; fwd-status=200; stored; ttl=*
		GET
		=> 200 3`},
	{"request no-store", `
		GET | Cache-Control: no-store
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 2
		GET | Cache-Control: no-store
		=> 200 2`},
	{"request max-age", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 50
		=> 200 1
		GET | Cache-Control: max-age=60
		=> 200 1
		GET | Cache-Control: max-age=40
		<- 200 | Cache-Control: max-age=100
		=> 200 2
		GET | Cache-Control: max-age=0
		<- 200 | Cache-Control: max-age=100
		=> 200 3`},
	{"request min-fresh", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 50
		=> 200 1
		GET | Cache-Control: min-fresh=40
		=> 200 1
		GET | Cache-Control: min-fresh=60
		<- 200
		=> 200 2`},
	{"request max-stale", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 150 | ETag: "a"
		=> 200 1
		GET | Cache-Control: max-stale=60
		=> 200 1 | Age: 150
		GET | Cache-Control: max-stale
		=> 200 1
		GET | Cache-Control: max-stale=40
		<- 200
		=> 200 2`},
	{"request only-if-cached", `
		GET | Cache-Control: only-if-cached
		=> 504
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		GET | Cache-Control: only-if-cached
		=> 200 1`},
	// Stale answers (4.2.4, RFC 5861).
	{"stale-if-error", `
		GET
		<- 200 | Cache-Control: max-age=100, stale-if-error=60 | Age: 150
		=> 200 1
		GET
		<- 503 
		=> 200 1 | Age: 150 | Cache-Status: Portway; fwd=stale; fwd-status=503; ttl=-5*
		GET
		<- 404
		=> 404 3`},
	{"stale-if-error is over", `
		GET
		<- 200 | Cache-Control: max-age=100, stale-if-error=40 | Age: 150
		=> 200 1
		GET
		<- 503
		=> 503 2`},
	{"an error without stale-if-error", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 150 | ETag: "a"
		=> 200 1
		GET
		<- 503
		=> 503 2
		GET
		-> GET | If-None-Match: "a"
		<- 304
		=> 200 1`},
	{"stale while the origin is not there (4.2.4)", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 110 | ETag: "a"
		=> 200 1
		GET
		<- nothing
		=> 200 1 | Age: 110 | Cache-Status: Portway; fwd=stale; ttl=*
		HEAD
		<- nothing
		=> 200 | Age: 110 | Content-Length: 9 | content: 
		GET | Cache-Control: no-cache
		=> 502
		GET
		<- 503
		=> 503 2`},
	{"stale while the origin is not there, but not for longer than a minute", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 200 | ETag: "a"
		=> 200 1
		GET
		<- nothing
		=> 502`},
	{"stale-if-error while the origin is not there", `
		GET
		<- 200 | Cache-Control: max-age=100, stale-if-error=1000 | Age: 200 | ETag: "a"
		=> 200 1
		GET
		<- nothing
		=> 200 1
		GET
		<- 500
		=> 200 1`},
	{"what forbids stale answers while the origin is not there", `
		GET /a
		<- 200 | Cache-Control: max-age=100, must-revalidate | Age: 110 | ETag: "a"
		=> 200 1
		GET /a
		<- nothing
		=> 502
		GET /b
		<- 200 | Cache-Control: max-age=100, proxy-revalidate | Age: 110 | ETag: "a"
		=> 200 1
		GET /b
		<- nothing
		=> 502
		GET /c
		<- 200 | Cache-Control: max-age=100, no-cache | Age: 110 | ETag: "a"
		=> 200 1
		GET /c
		<- nothing
		=> 502
		GET /d
		<- 200 | Cache-Control: max-age=100, s-maxage=100 | Age: 110 | ETag: "a"
		=> 200 1
		GET /d
		<- nothing
		=> 502
		GET /e
		<- 200 | Cache-Control: max-age=100, stale-if-error=0 | Age: 110 | ETag: "a"
		=> 200 1
		GET /e
		<- nothing
		=> 502`},
	{"must-revalidate and errors", `
		GET
		<- 200 | Cache-Control: max-age=100, stale-if-error=60, must-revalidate | Age: 150
		=> 200 1
		GET
		<- 503
		=> 503 2`},
	// Vary (4.1).
	{"Vary", `
		GET | Foo: 1
		<- 200 | Cache-Control: max-age=100 | Vary: Foo
		=> 200 1
		GET | Foo: 1
		=> 200 1
		GET | Foo: 2
		<- 200 | Cache-Control: max-age=100 | Vary: Foo
		=> 200 2 | Cache-Status: Portway; fwd=vary-miss*
		GET
		<- 200 | Cache-Control: max-age=100 | Vary: Foo
		=> 200 3
		GET | Foo: 1
		=> 200 1
		GET | Foo: 2
		=> 200 2
		GET
		=> 200 3`},
	{"Vary with several fields", `
		GET | Foo: 1 | Bar: a
		<- 200 | Cache-Control: max-age=100 | Vary: Foo, BAR
		=> 200 1
		GET | Bar: a | Foo: 1
		=> 200 1
		GET | Foo: 1 | Bar: b
		<- 200 | Cache-Control: max-age=100 | Vary: Foo, BAR
		=> 200 2
		GET | Foo: 1 | Bar: a | Other: x
		=> 200 1`},
	{"Vary: *", `
		GET
		<- 200 | Cache-Control: max-age=100 | Vary: Foo, *
		=> 200 1
		GET
		<- 200
		=> 200 2`},
	{"Vary, lines and white space", `
		GET | Foo: 1 | Foo: 2
		<- 200 | Cache-Control: max-age=100 | Vary: Foo
		=> 200 1
		GET | Foo: 1,2
		=> 200 1
		GET | Foo: 1 ,   2
		=> 200 1`},
	{"Vary: Accept-Encoding", `
		GET | Accept-Encoding: gzip, br
		<- 200 | Cache-Control: max-age=100 | Vary: Accept-Encoding
		=> 200 1
		GET | Accept-Encoding: BR;q=1.0,gzip
		=> 200 1
		GET | Accept-Encoding: gzip
		<- 200
		=> 200 2`},
	{"a coding without Vary", `
		GET | Accept-Encoding: gzip
		<- 200 | Cache-Control: max-age=100 | Content-Encoding: gzip
		=> 200 1
		GET | Accept-Encoding: gzip
		=> 200 1
		GET | Accept-Encoding: br
		<- 200 | Cache-Control: max-age=100
		=> 200 2
		GET
		=> 200 2`},
	{"a new Vary supersedes what had none", `
		GET | Foo: 1
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		GET | Foo: 1 | Cache-Control: no-cache
		<- 200 | Cache-Control: max-age=100 | Vary: Foo
		=> 200 2
		GET | Foo: 2
		<- 200
		=> 200 3`},
	// Conditional requests (4.3.2).
	{"If-None-Match", `
		GET
		<- 200 | Cache-Control: max-age=100 | ETag: "a" | Content-Language: de | Foo: bar
		=> 200 1
		GET | If-None-Match: "x", W/"a"
		=> 304 | ETag: "a" | Foo: bar | -Content-Language | -Content-Length | content: 
		GET | If-None-Match: "b"
		=> 200 1
		GET | If-None-Match: *
		=> 304`},
	{"If-Modified-Since", `
		GET
		<- 200 | Cache-Control: max-age=100 | Last-Modified: Tue, 03 Mar 2020 08:00:00 GMT
		=> 200 1
		GET | If-Modified-Since: Tue, 03 Mar 2020 08:00:00 GMT
		=> 304
		GET | If-Modified-Since: Mon, 02 Mar 2020 08:00:00 GMT
		=> 200 1
		GET | If-Modified-Since: Tue, 03 Mar 2020 08:00:00 GMT | If-None-Match: "x"
		=> 200 1`},
	{"a condition goes to the origin if nothing is stored", `
		GET | If-None-Match: "a"
		-> GET | If-None-Match: "a"
		<- 304 | ETag: "a"
		=> 304
		GET | If-None-Match: "a"
		<- 200 | Cache-Control: max-age=100 | ETag: "b"
		=> 200 2
		GET
		=> 200 2`},
	{"If-Match is for the origin", `
		GET
		<- 200 | Cache-Control: max-age=100 | ETag: "a"
		=> 200 1
		GET | If-Match: "b"
		-> GET | If-Match: "b"
		<- 412
		=> 412 2`},
	// Validation (4.3.1, 4.3.3, 4.3.4) and updating (3.2).
	{"validation by ETag and Last-Modified", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 200 | ETag: W/"a" | Last-Modified: Tue, 03 Mar 2020 08:00:00 GMT | Foo: 1
		=> 200 1
		GET
		-> GET | If-None-Match: W/"a" | If-Modified-Since: Tue, 03 Mar 2020 08:00:00 GMT
		<- 304 | Cache-Control: max-age=200 | Foo: 2 | Bar: 3 | ETag: W/"a"
		=> 200 1 | Foo: 2 | Bar: 3 | Cache-Control: max-age=200 | -Age | Cache-Status: Portway; fwd=stale; fwd-status=304; ttl=*
		GET
		=> 200 1 | Foo: 2 | Age: 0`},
	{"validation brings another content", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET
		-> GET | If-None-Match: "a"
		<- 200 | Cache-Control: max-age=100 | ETag: "b"
		=> 200 2 | ETag: "b"
		GET
		=> 200 2`},
	{"the client's condition is answered by what is stored", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET | If-None-Match: "c"
		-> GET | If-None-Match: "a"
		<- 304 | ETag: "a"
		=> 200 1
		GET | If-None-Match: "a"
		-> GET | If-None-Match: "a"
		<- 304 | ETag: "a"
		=> 304`},
	{"a 304 about something else", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET
		<- 304 | ETag: "b"
		<- 200 | Cache-Control: max-age=100 | ETag: "b"
		=> 200 3`},
	{"no content fields by a 304", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a" | Content-Encoding: foo | Content-Language: en
		=> 200 1
		GET
		<- 304 | Cache-Control: max-age=100 | Content-Encoding: bar | Content-Language: de
		=> 200 1 | Content-Encoding: foo | Content-Language: de`},
	{"a 304 with a cookie is for one client", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET
		<- 304 | Cache-Control: max-age=100 | ETag: "a" | Set-Cookie: sid=alice
		=> 200 1 | Set-Cookie: sid=alice | Cache-Control: max-age=100
		GET
		-> GET | If-None-Match: "a"
		<- 304 | Cache-Control: max-age=100 | ETag: "a"
		=> 200 1 | -Set-Cookie
		GET
		=> 200 1 | -Set-Cookie`},
	{"a 304 that is private ends what is stored", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET
		<- 304 | Cache-Control: max-age=100, private | ETag: "a" | X-User: alice
		=> 200 1 | X-User: alice
		GET
		-> GET | -If-None-Match
		<- 200
		=> 200 3 | -X-User`},
	{"a 304 that is not to be stored ends what is stored", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET
		<- 304 | Cache-Control: max-age=100, no-store | ETag: "a"
		=> 200 1
		GET
		-> GET | -If-None-Match
		<- 200
		=> 200 3`},
	{"a 304 to a request that is not to be stored", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET | Cache-Control: no-store
		<- 304 | Cache-Control: max-age=100 | ETag: "a" | Foo: bar
		=> 200 1 | Foo: bar
		GET
		-> GET | If-None-Match: "a"
		<- 304 | Cache-Control: max-age=100 | ETag: "a"
		=> 200 1 | -Foo`},
	{"private fields of a 304", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET
		<- 304 | Cache-Control: max-age=100, private="X-User" | ETag: "a" | X-User: alice
		=> 200 1 | X-User: alice
		GET
		=> 200 1 | -X-User`},
	{"a 304 can bring Vary", `
		GET | Foo: 1
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET | Foo: 1
		<- 304 | Cache-Control: max-age=100 | ETag: "a" | Vary: Foo
		=> 200 1
		GET | Foo: 1
		=> 200 1
		GET | Foo: 2
		-> GET | -If-None-Match
		<- 200
		=> 200 3`},
	{"a 304 that depends on anything", `
		GET
		<- 200 | Cache-Control: max-age=0 | ETag: "a"
		=> 200 1
		GET
		<- 304 | Cache-Control: max-age=100 | ETag: "a" | Vary: *
		=> 200 1
		GET
		-> GET | -If-None-Match
		<- 200
		=> 200 3`},
	// HEAD (4.3.5).
	{"an answer to HEAD that is for one client updates nothing", `
		GET
		<- 200 | Cache-Control: max-age=100 | ETag: "a" | Foo: 1
		=> 200 1
		HEAD | Cache-Control: no-cache
		<- 200 | Cache-Control: max-age=100 | ETag: "a" | Foo: 2 | Set-Cookie: sid=alice
		=> 200 | Foo: 2 | Set-Cookie: sid=alice
		GET
		=> 200 1 | Foo: 1 | -Set-Cookie
		HEAD | Cache-Control: no-cache
		<- 200 | Cache-Control: private | ETag: "a" | X-User: alice
		=> 200 | X-User: alice
		GET
		<- 200
		=> 200 4 | -X-User`},
	{"HEAD from what GET stored", `
		GET
		<- 200 | Cache-Control: max-age=100 | Foo: bar
		=> 200 1
		HEAD
		=> 200 | Foo: bar | Content-Length: 9 | content: `},
	{"HEAD stores nothing", `
		HEAD
		<- 200 | Cache-Control: max-age=100
		=> 200
		GET
		<- 200
		=> 200 2`},
	{"HEAD updates what is stored", `
		GET
		<- 200 | Cache-Control: max-age=100 | Age: 200 | ETag: "a" | Foo: 1
		=> 200 1
		HEAD
		-> HEAD | -If-None-Match
		<- 200 | Cache-Control: max-age=100 | ETag: "a" | Foo: 2 | Content-Length: 9
		=> 200 | Foo: 2
		GET
		=> 200 1 | Foo: 2`},
	{"HEAD tells that what is stored is outdated", `
		GET
		<- 200 | Cache-Control: max-age=100 | ETag: "a"
		=> 200 1
		HEAD | Cache-Control: no-cache
		<- 200 | Cache-Control: max-age=100 | ETag: "b"
		=> 200
		GET
		<- 200
		=> 200 3`},
	{"HEAD with another length", `
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		HEAD | Cache-Control: no-cache
		<- 200 | Cache-Control: max-age=100 | Content-Length: 100
		=> 200
		GET
		<- 200
		=> 200 3`},
	// Invalidation (4.4).
	{"POST invalidates", `
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		POST
		<- 201
		=> 201 2 | Cache-Status: Portway; fwd=method
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 3
		DELETE
		<- 204
		=> 204
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 5
		UNKNOWN
		<- 302
		=> 302 6
		GET
		<- 200
		=> 200 7`},
	{"a POST that fails does not", `
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		POST
		<- 500
		=> 500 2
		OPTIONS
		<- 200
		=> 200 3
		GET
		=> 200 1`},
	{"Location and Content-Location", `
		GET /a
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		GET /b?c
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		POST /x
		<- 201 | Location: a | Content-Location: http://CACHE.test{path}/b?c
		=> 201 1
		GET /a
		<- 200
		=> 200 2
		GET /b?c
		<- 200
		=> 200 2`},
	{"Location of another site", `
		GET /a
		<- 200 | Cache-Control: max-age=100
		=> 200 1
		POST /x
		<- 201 | Location: http://other.test{path}/a
		=> 201 1
		GET /a
		=> 200 1`},
	// Ranges (3.3, RFC 9110, 14).
	{"ranges of what is stored", `
		GET
		<- 200 | Cache-Control: max-age=100 | content: 0123456789 | ETag: "a"
		=> 200 | content: 0123456789
		GET | Range: bytes=2-4
		=> 206 | content: 234 | Content-Range: bytes 2-4/10 | Content-Length: 3 | ETag: "a"
		GET | Range: bytes=7-
		=> 206 | content: 789
		GET | Range: bytes=-2
		=> 206 | content: 89
		GET | Range: bytes=10-
		=> 416 | Content-Range: bytes */10
		GET | Range: bytes=0-1,3-4
		=> 200 | content: 0123456789
		GET | Range: bytes=0-1 | If-Range: "a"
		=> 206 | content: 01
		GET | Range: bytes=0-1 | If-Range: "b"
		=> 200 | content: 0123456789
		GET | Range: bytes=0-1 | If-None-Match: "a"
		=> 304
		HEAD | Range: bytes=0-1
		=> 200 | Content-Length: 10`},
	{"a range of what is not stored", `
		GET | Range: bytes=2-4
		-> GET | Range: bytes=2-4
		<- 206 | Cache-Control: max-age=100 | content: 234 | Content-Range: bytes 2-4/10
		=> 206 | content: 234
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 2`},
	{"a range that is the whole", `
		GET | Range: bytes=0-
		-> GET | Range: bytes=0-
		<- 206 | Cache-Control: max-age=100 | content: 0123456789 | Content-Range: bytes 0-9/10 | ETag: "a"
		=> 206 | content: 0123456789 | Content-Range: bytes 0-9/10
		GET
		=> 200 | content: 0123456789 | -Content-Range | ETag: "a"
		GET | Range: bytes=1-2
		=> 206 | content: 12 | Content-Range: bytes 1-2/10`},
	{"a range that only claims to be the whole", `
		GET | Range: bytes=0-
		<- 206 | Cache-Control: max-age=100 | content: 01234 | Content-Range: bytes 0-9/10
		=> 206 | content: 01234
		GET
		<- 200
		=> 200 2`},
	{"a range that is private", `
		GET | Range: bytes=0-
		<- 206 | Cache-Control: private | content: 0123456789 | Content-Range: bytes 0-9/10
		=> 206 | content: 0123456789 | Content-Range: bytes 0-9/10
		GET
		<- 200
		=> 200 2`},
	{"a range of what has to be validated", `
		GET
		<- 200 | Cache-Control: max-age=0 | content: 0123456789 | ETag: "a"
		=> 200
		GET | Range: bytes=2-4
		-> GET | -Range | If-None-Match: "a"
		<- 304 | ETag: "a"
		=> 206 | content: 234`},
	// CDN-Cache-Control (RFC 9213).
	{"CDN-Cache-Control over Cache-Control", `
		GET
		<- 200 | CDN-Cache-Control: max-age=100 | Cache-Control: no-store
		=> 200 1 | CDN-Cache-Control: max-age=100
		GET
		=> 200 1`},
	{"CDN-Cache-Control: no-store", `
		GET
		<- 200 | CDN-Cache-Control: no-store | Cache-Control: max-age=100
		=> 200 1
		GET
		<- 200
		=> 200 2`},
	{"CDN-Cache-Control that cannot be read", `
		GET
		<- 200 | CDN-Cache-Control: max-age=100, &&& | Cache-Control: no-store
		=> 200 1
		GET
		<- 200
		=> 200 2`},
	// Interim responses (RFC 9110, 15.2).
	{"interim responses", `
		GET
		<- 200 | 103 Link: </a.css> | Cache-Control: max-age=100
		=> 200 1 | 103 Link: </a.css> | -Link
		GET
		=> 200 1 | -Link`},
	// What breaks off (3.3).
	{"an answer that broke off", `
		GET
		<- 200 cut | Cache-Control: max-age=100
		=> 200 cut
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 2`},
	// Poisoning.
	{"fields that change the address", `
		GET | X-Original-URL: /other
		<- 200 | Cache-Control: max-age=100
		=> 200 1 | Cache-Status: Portway; fwd=bypass
		GET | X_HTTP_Method_Override: DELETE
		<- 200 | Cache-Control: max-age=100
		=> 200 2
		GET
		<- 200 | Cache-Control: max-age=100
		=> 200 3`},
	{"others' Cache-Status stays", `
		GET
		<- 200 | Cache-Control: max-age=100 | Cache-Status: Other; hit
		=> 200 1
		GET
		=> 200 1 | Cache-Status: Other; hit, Portway; hit; ttl=*`},
}

func TestRFC(t *testing.T) {
	t.Parallel()
	origin := newScript()
	s := serve(t, origin)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run(t, s, origin, fmt.Sprintf("/%d", i), c.text)
		})
	}
}
