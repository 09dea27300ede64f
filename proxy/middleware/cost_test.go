package middleware

import (
	"maps"
	"strings"
	"testing"

	"portway/label"
	"portway/proxy/exchange"
)

// typical is what a careful user asks for.
var typical = label.Values{
	"request-id":       "true",
	"trace":            "true",
	"strip-prefix":     "/api",
	"request-headers":  "X-Client: {client_ip}\nX-From: {scheme}://{host}{path}\n-X-Secret",
	"response-headers": "Cache-Control: private\n-Server",
	"security-headers": "true",
	"hsts":             "true",
	"cors":             "https://app.example.org",
	"ip.allow":         "10.0.0.0/8, 192.0.2.0/24",
	"rate-limit":       "1000000/1s",
	"max-in-flight":    "100",
	"max-body":         "1MiB",
	"basic-auth":       "bob:$2y$04$sVhCXsRCAoY8dwDt0fHfmu/VVP6bdAlyugqkDGzIHrwsqGkW7BV1y",
}

const typicalRequest = `GET /api/users?a=b
Accept: */*
Accept-Encoding: gzip, br
User-Agent: test
Origin: https://app.example.org
Authorization: Basic Ym9iOm9wZW4gc2VzYW1l
X-Forwarded-Host: app.example.com
X-Secret: x
Cookie: a=b`

// sameRequest gives a function that serves one request time and again, with as little
// of a front's work as possible.
func sameRequest(t testing.TB, h exchange.Handler) func() {
	t.Helper()
	first := request(t, typicalRequest)
	t.Cleanup(func() { finish(first) })
	return func() {
		ex := exchange.Get()
		q, a := &ex.Request, &first.Request
		q.Method, q.Authority, q.Path, q.Query, q.HasQuery = a.Method, a.Authority, a.Path, a.Query, a.HasQuery
		for i := range a.Fields.Len() {
			f := a.Fields.At(i)
			q.Fields.Add(f.Name, f.Value)
		}
		ex.Conn, ex.ClientIP, ex.Start, ex.RouteName = first.Conn, first.ClientIP, first.Start, first.RouteName
		h.Serve(ex)
		if ex.Response.Status != 200 {
			t.Fatalf("status is %d", ex.Response.Status)
		}
		finish(ex)
	}
}

var contentType, textHTML, server, software = []byte("Content-Type"), []byte("text/html"), []byte("Server"), []byte("app")

// ordinary is an origin that costs next to nothing.
type ordinary struct{}

func (*ordinary) Serve(ex *exchange.Exchange) {
	ex.Response.Status = 200
	ex.Response.Fields.Add(contentType, textHTML)
	ex.Response.Fields.Add(server, software)
}

func typicalChain(t testing.TB) exchange.Handler {
	t.Helper()
	binders, problems := parse(typical)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return wrap(binders, &ordinary{})
}

// What nobody asks for is not there.
func TestNothingAskedForCostsNothing(t *testing.T) {
	t.Parallel()
	origin := &ordinary{}
	for _, b := range All() {
		if problems := label.Parse("test", func(o string) string { return o }, nil, b); len(problems) > 0 {
			t.Fatal(problems)
		}
		if h := b.(Middleware).Wrap(origin); h != exchange.Handler(origin) {
			t.Errorf("%T is in the chain without having been asked for", b)
		}
	}
}

// A chain of more than eight typical middleware allocates nothing for a request.
func TestTypicalChainAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops pooled memory")
	}
	if n := len(typical); n < 8 {
		t.Fatalf("only %d middleware", n)
	}
	if n := testing.AllocsPerRun(1000, sameRequest(t, typicalChain(t))); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
}

// full is what bench/ has on in portway-full.
var full = label.Values{
	"request-id":       "true",
	"response-headers": "X-Served-By: bench",
	"security-headers": "true",
	"hsts":             "true",
	"ip.deny":          "203.0.113.0/24",
	"cors":             "https://app.example.com",
	"rate-limit":       "100000000/1s",
	"max-in-flight":    "10000",
	"request-headers":  "X-Client: {client_ip}",
}

func BenchmarkChain(b *testing.B) {
	binders, problems := parse(full)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	for name, h := range map[string]exchange.Handler{"none": &ordinary{}, "typical": typicalChain(b), "full": wrap(binders, &ordinary{})} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			serve := sameRequest(b, h)
			for b.Loop() {
				serve()
			}
		})
	}
}

// BenchmarkEach shows what each of the typical ones costs by itself.
func BenchmarkEach(b *testing.B) {
	all := maps.Clone(typical)
	maps.Copy(all, full)
	for option, value := range all {
		b.Run(option, func(b *testing.B) {
			binders, _ := parse(label.Values{option: value})
			b.ReportAllocs()
			serve := sameRequest(b, wrap(binders, &ordinary{}))
			for b.Loop() {
				serve()
			}
		})
	}
}

// BenchmarkCompress shows what a page of 20 kB costs in each encoding.
func BenchmarkCompress(b *testing.B) {
	page := []byte(strings.Repeat("<li class=\"item\"><a href=\"/items/1\">An item</a> and what it is about</li>\n", 270))
	for c := range codings {
		b.Run(codingNames[c], func(b *testing.B) {
			binders, _ := parse(label.Values{"compress": "true", "compress.encodings": codingNames[c]})
			h := wrap(binders, exchange.HandlerFunc(func(ex *exchange.Exchange) {
				answer(ex, 200, "text/html", page)
			}))
			accept := []byte(codingNames[c])
			buf := make([]byte, 16<<10)
			b.ReportAllocs()
			b.SetBytes(int64(len(page)))
			for b.Loop() {
				ex := exchange.Get()
				ex.Request.Fields.Add([]byte("Accept-Encoding"), accept)
				h.Serve(ex)
				for {
					if _, err := ex.Response.Body.Read(buf); err != nil {
						break
					}
				}
				finish(ex)
			}
		})
	}
}

// BenchmarkChainTogether shows what requests of one client cost that come at the same time.
func BenchmarkChainTogether(b *testing.B) {
	binders, _ := parse(full)
	for name, h := range map[string]exchange.Handler{"none": &ordinary{}, "full": wrap(binders, &ordinary{})} {
		b.Run(name, func(b *testing.B) {
			b.RunParallel(func(p *testing.PB) {
				serve := sameRequest(b, h)
				for p.Next() {
					serve()
				}
			})
		})
	}
}
