package middleware

import (
	"bytes"
	"strconv"
	"time"

	"portway/proxy/errorpage"
	"portway/proxy/exchange"
)

// Names of fields that are written often, as bytes once and for all.
var (
	nameLocation   = []byte("Location")
	nameRetryAfter = []byte("Retry-After")
	nameVary       = []byte("Vary")
)

const plainText = "text/plain; charset=utf-8"

// refuse answers ex in place of the origin, and tells the visitor why in one sentence.
func refuse(ex *exchange.Exchange, status int, why string) {
	errorpage.Page{Status: status, Why: why}.Answer(ex)
}

// answer fills in a response with content that is at hand.
func answer(ex *exchange.Exchange, status int, contentType string, content []byte) {
	ex.Response.Clear()
	p := &ex.Response
	p.Status = status
	if len(content) == 0 {
		return
	}
	p.Fields.AddString("Content-Type", contentType)
	p.Length = int64(len(content))
	p.Body = exchange.BytesBody(content)
}

// retryAfter tells the client when to come back, in whole seconds.
func retryAfter(ex *exchange.Exchange, d time.Duration) {
	ex.Response.Fields.Add(nameRetryAfter, number(ex, seconds(d)))
}

// seconds rounds up to at least one.
func seconds(d time.Duration) int64 { return max(int64((d+time.Second-1)/time.Second), 1) }

// number writes n to the memory of ex.
func number(ex *exchange.Exchange, n int64) []byte {
	from := len(ex.Memory)
	ex.Memory = strconv.AppendInt(ex.Memory, n, 10)
	return taken(ex, from)
}

// taken is what was appended to the memory of ex after from.
func taken(ex *exchange.Exchange, from int) []byte {
	return ex.Memory[from:len(ex.Memory):len(ex.Memory)]
}

// addVary says that the response depends on a field of the request (RFC 9110
// section 12.5.5). name is in lower case, line is what is added if it is missing.
func addVary(f *exchange.Fields, name string, line *exchange.Line) {
	for i := 0; ; {
		var value []byte
		if value, i = f.Find("vary", i); i < 0 {
			break
		}
		if hasItem(value, name) || hasItem(value, "*") {
			return
		}
	}
	f.AddLine(line)
}

// hasItem tells whether item, in lower case, is in a list with commas.
func hasItem(list []byte, item string) bool {
	for len(list) > 0 {
		one := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			one, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if exchange.EqualFold(trim(one), item) {
			return true
		}
	}
	return false
}

// trim removes optional white space (RFC 9110 section 5.6.3) on both sides.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
