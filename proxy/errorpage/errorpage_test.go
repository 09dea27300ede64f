package errorpage

import (
	"strings"
	"testing"
	"time"

	"portway/proxy/exchange"
)

func TestAcceptNegotiation(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]format{
		"":                                   plainText,
		"*/*":                                plainText,
		"text/html":                          asHTML,
		"Text/HTML;charset=utf-8":            asHTML,
		"text/*":                             plainText,
		"application/json":                   asJSON,
		"application/problem+json":           asJSON,
		"application/vnd.api+json, */*":      asJSON,
		"text/html;q=0.5, application/json":  asJSON,
		"text/html, application/json;q=0.9":  asHTML,
		"application/json, text/html":        asJSON,
		"text/plain, text/html;q=0.5":        plainText,
		"text/html;q=0":                      plainText,
		"text/html;q=nonsense":               plainText,
		"text/html;q=7":                      plainText,
		"image/png, application/json; q=0.1": asJSON,
		",;,=,;q=1":                          plainText,
	} {
		if got := preferred([]byte(accept)); got != want {
			t.Errorf("%q: %d, want %d", accept, got, want)
		}
	}
}

// What was filled in before is gone, also what it held open.
func TestAnswerTakesThePlaceOfAnother(t *testing.T) {
	t.Parallel()
	ex := exchange.Get()
	defer exchange.Put(ex)
	before := &closing{Body: exchange.BytesBody([]byte("before"))}
	ex.Response.Fields.AddString("X-Before", "1")
	ex.Response.Body = before
	Page{Status: 429, Why: "Too fast.", Retry: time.Millisecond}.Answer(ex)
	f := &ex.Response.Fields
	if !before.closed || f.Has("x-before") || ex.Response.Status != 429 {
		t.Errorf("closed: %v, status %d, fields %v", before.closed, ex.Response.Status, f)
	}
	if got := string(f.Get("retry-after")); got != "1" {
		t.Errorf("Retry-After: %s", got)
	}
	if kind, text := (&Page{Status: 418, Title: Title(418), Why: "x"}).render(plainText, "id"); !strings.HasPrefix(text, "418 I'm a teapot\nx\n") {
		t.Errorf("%s: %s", kind, text)
	}
}

type closing struct {
	exchange.Body
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }
