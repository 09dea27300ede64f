package cache

import (
	"net/http"
	"strconv"
	"time"

	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// outcome is how a request was answered, as Cache-Status tells it (RFC 9211).
type outcome string

const (
	hit              outcome = "Portway; hit"
	uriMiss          outcome = "Portway; fwd=uri-miss"
	varyMiss         outcome = "Portway; fwd=vary-miss"
	expired          outcome = "Portway; fwd=stale"
	forwardedRequest outcome = "Portway; fwd=request"
	forwardedMethod  outcome = "Portway; fwd=method"
	bypass           outcome = "Portway; fwd=bypass"
	partial          outcome = "Portway; fwd=partial"
	onlyIfCached     outcome = "Portway; detail=only-if-cached"
)

var (
	nameCacheStatus  = []byte("Cache-Status")
	nameAge          = []byte("Age")
	nameDate         = []byte("Date")
	nameContentRange = []byte("Content-Range")
)

// tell adds Cache-Status to a response that is not from the cache.
func (h *handler) tell(ex *exchange.Exchange, how outcome) {
	if ex.Response.Tunnel == nil {
		ex.Response.Fields.AddString("Cache-Status", string(how))
	}
}

// answer makes o the response to ex, with respect to its conditions and range. aged
// says that o was there before, so that Age tells how old it is; pinned is as for attach.
// It returns false, and has done nothing, if the content cannot be had.
func (h *handler) answer(ex *exchange.Exchange, o *object, how outcome, aged, pinned bool, now time.Time) bool {
	q, p := &ex.Request, &ex.Response
	size, known := o.size()
	span, state := policy.Range{To: unknown}, policy.NoRange
	notModified := o.status == http.StatusOK && policy.Conditional(&q.Fields) && policy.NotModified(&q.Fields, &o.fields, o.received)
	head := string(q.Method) == http.MethodHead
	if r := q.Fields.Get("range"); r != nil && o.status == http.StatusOK && !notModified && !head && policy.IfRange(&q.Fields, &o.fields, o.received) {
		if !known {
			return false
		}
		if span, state = policy.ParseRange(r, size); state == policy.NoRange {
			span.To = unknown
		}
	}
	content := !notModified && !head && state != policy.Unsatisfiable && (!known || size > 0)
	if content {
		body := newReader(o.content, ex, span, pinned)
		if body == nil {
			return false
		}
		p.Body = body
	}
	p.Status, p.Length = o.status, unknown
	if known && (!o.content.complete.Load() || o.content.trailers.Len() == 0) {
		p.Length = size
	}
	for i := range o.fields.Len() {
		if f := o.fields.At(i); !notModified || policy.In304(f.Name) {
			p.Fields.Add(f.Name, f.Value)
		}
	}
	switch {
	case notModified:
		p.Status, p.Length = http.StatusNotModified, unknown
	case state == policy.OneRange:
		p.Status, p.Length = http.StatusPartialContent, span.Len()
		p.Fields.Set("content-range", appendContentRange(ex, span, size))
	case state == policy.Unsatisfiable:
		p.Status, p.Length = http.StatusRequestedRangeNotSatisfiable, 0
		p.Fields.DelFunc(func(name, _ []byte) bool { return !policy.In304(name) })
		p.Fields.Add(nameContentRange, appendUnsatisfied(ex, size))
	}
	describe(ex, o, how, aged, now)
	return true
}

// describe adds what a cache has to say about a response: Age, and Cache-Status with
// the seconds that it is still fresh.
func describe(ex *exchange.Exchange, o *object, how outcome, aged bool, now time.Time) {
	f := &ex.Response.Fields
	age := o.age(now)
	if aged {
		f.Add(nameAge, number(ex, int64(age/time.Second)))
	} else if o.aged > 0 {
		f.Add(nameAge, number(ex, int64(o.aged/time.Second)))
	}
	from := len(ex.Memory)
	ex.Memory = append(append(ex.Memory, how...), "; ttl="...)
	ex.Memory = strconv.AppendInt(ex.Memory, int64((o.fresh.Lifetime-age)/time.Second), 10)
	f.Add(nameCacheStatus, ex.Memory[from:len(ex.Memory):len(ex.Memory)])
}

// number writes n to the memory of ex.
func number(ex *exchange.Exchange, n int64) []byte {
	from := len(ex.Memory)
	ex.Memory = strconv.AppendInt(ex.Memory, n, 10)
	return ex.Memory[from:len(ex.Memory):len(ex.Memory)]
}

func appendContentRange(ex *exchange.Exchange, r policy.Range, size int64) []byte {
	from := len(ex.Memory)
	ex.Memory = strconv.AppendInt(append(ex.Memory, "bytes "...), r.From, 10)
	ex.Memory = strconv.AppendInt(append(ex.Memory, '-'), r.To-1, 10)
	ex.Memory = strconv.AppendInt(append(ex.Memory, '/'), size, 10)
	return ex.Memory[from:len(ex.Memory):len(ex.Memory)]
}

func appendUnsatisfied(ex *exchange.Exchange, size int64) []byte {
	from := len(ex.Memory)
	ex.Memory = strconv.AppendInt(append(ex.Memory, "bytes */"...), size, 10)
	return ex.Memory[from:len(ex.Memory):len(ex.Memory)]
}
