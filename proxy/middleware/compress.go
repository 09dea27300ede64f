package middleware

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"portway/label"
	"portway/proxy/exchange"
)

// compress encodes the content of responses for clients that can decode it. What is
// left as it is: content that is encoded already or that nobody wants changed
// (no-transform, digests), parts of it (ranges), small content, types that do not get
// smaller, gRPC, and answers to HEAD.
//
// Content of unknown length is a stream: whatever the origin has sent is on its way to
// the client before more is waited for. Event streams are not in the list of types,
// since each would hold an encoder's memory for as long as it is open, but may be
// added.
type compress struct {
	on      bool
	codings []coding // the first one is liked best
	types   []string
	minSize int64
}

var _ Middleware = (*compress)(nil)

// defaultTypes are those that web sites consist of and that are not compressed by
// themselves. Any media type may have one "*".
var defaultTypes = []string{
	"text/html", "text/css", "text/plain", "text/javascript", "text/xml", "text/csv", "text/markdown", "text/calendar",
	"application/json", "application/*+json", "application/javascript", "application/xml", "application/*+xml",
	"application/wasm", "image/svg+xml", "font/ttf", "font/otf",
}

// Labels binds compress and its details.
func (m *compress) Labels(s *label.Set) {
	s.Bool(&m.on, "compress", false,
		"Compress responses for clients that can read it, unless the application has done it.", label.Example("true"))
	m.codings = []coding{zstdCoding, brotliCoding, gzipCoding}
	first := true
	s.Each("compress.encodings", "What to use, the first one that the client likes as much as any other.", func(item string) error {
		if first {
			first, m.codings = false, nil
		}
		i := slices.Index(codingNames[:], item)
		if i < 0 {
			return &label.Error{Why: label.Quote(item) + " is not known here", Fix: "write zstd, br or gzip"}
		}
		if !slices.Contains(m.codings, coding(i)) {
			m.codings = append(m.codings, coding(i))
		}
		return nil
	}, label.Needs("compress"), label.Default(strings.Join(codingNames[:], ", ")), label.Example("gzip"))
	m.types = defaultTypes
	other := true
	s.Each("compress.types", "Media types to compress; one `*` stands for anything.", func(item string) error {
		if other {
			other, m.types = false, nil
		}
		if !strings.Contains(item, "/") || strings.Count(item, "*") > 1 || strings.ContainsAny(item, " ;") {
			return &label.Error{Why: label.Quote(item) + " is no media type", Fix: "write for example text/html, text/* or application/*+json"}
		}
		m.types = append(m.types, strings.ToLower(item))
		return nil
	}, label.Needs("compress"), label.Default(strings.Join(defaultTypes, ", ")), label.Example("text/*, application/json"))
	s.Size(&m.minSize, "compress.min-size", 1<<10,
		"Smaller contents are sent as they are.", label.Needs("compress"), label.Example("256"))
}

// Wrap compresses, if that is asked for.
func (m *compress) Wrap(next exchange.Handler) exchange.Handler {
	if !m.on {
		return next
	}
	h := &compressor{next: next, codings: m.codings, minSize: m.minSize}
	for _, t := range m.types {
		before, after, wild := strings.Cut(t, "*")
		h.types = append(h.types, mediaType{before, after, wild})
	}
	return h
}

type compressor struct {
	next    exchange.Handler
	codings []coding
	types   []mediaType
	minSize int64
}

var _ exchange.Handler = (*compressor)(nil)

// mediaType is a media type, or what is before and after the "*" of a pattern.
type mediaType struct {
	before, after string
	wild          bool
}

func (m *mediaType) fits(t []byte) bool {
	if !m.wild {
		return exchange.EqualFold(t, m.before)
	}
	return len(t) >= len(m.before)+len(m.after) &&
		exchange.EqualFold(t[:len(m.before)], m.before) && exchange.EqualFold(t[len(t)-len(m.after):], m.after)
}

var (
	nameContentEncoding = []byte("Content-Encoding")
	lineVaryEncoding    = exchange.NewLine("Vary", "Accept-Encoding")
)

// Serve encodes what next answers, if that makes sense.
func (h *compressor) Serve(ex *exchange.Exchange) {
	h.next.Serve(ex)
	p := &ex.Response
	if p.Status == http.StatusNotModified {
		weaken(ex, true)
		return
	}
	if !h.suitable(ex) {
		return
	}
	addVary(&p.Fields, "accept-encoding", lineVaryEncoding)
	c, ok := negotiate(&ex.Request.Fields, h.codings)
	if !ok || p.Body == nil || string(ex.Request.Method) == http.MethodHead {
		return
	}
	weaken(ex, false)
	p.Fields.Del("accept-ranges") // those of the content without encoding
	p.Fields.Add(nameContentEncoding, codingTokens[c])
	p.Body = newEncodedBody(p.Body, c, p.Length)
	p.Length = exchange.LengthUnknown
}

// suitable tells whether content of this kind is to be encoded, for whoever can read it.
func (h *compressor) suitable(ex *exchange.Exchange) bool {
	p := &ex.Response
	switch {
	case p.Status < 200, p.Status == http.StatusNoContent, p.Status == http.StatusPartialContent, p.Tunnel != nil:
		return false
	case p.Length >= 0 && p.Length < max(h.minSize, 1):
		return false
	case hasItem(ex.Request.Fields.Get("cache-control"), "no-transform"):
		return false
	}
	typ := false
	for i := range p.Fields.Len() {
		f := p.Fields.At(i)
		switch len(f.Name) {
		case len("content-type"):
			if exchange.EqualFold(f.Name, "content-type") {
				typ = h.fits(f.Value)
			}
		case len("cache-control"):
			if (exchange.EqualFold(f.Name, "cache-control") && hasItem(f.Value, "no-transform")) || exchange.EqualFold(f.Name, "content-range") {
				return false
			}
		case len("content-encoding"):
			if exchange.EqualFold(f.Name, "content-encoding") {
				return false
			}
		case len("content-md5"), len("content-digest"), len("digest"):
			// repr-digest is as long as content-md5
			if exchange.EqualFold(f.Name, "content-md5") || exchange.EqualFold(f.Name, "repr-digest") ||
				exchange.EqualFold(f.Name, "content-digest") || exchange.EqualFold(f.Name, "digest") {
				return false
			}
		}
	}
	return typ
}

// fits tells whether a Content-Type is one to be encoded.
func (h *compressor) fits(value []byte) bool {
	if i := bytes.IndexByte(value, ';'); i >= 0 {
		value = value[:i]
	}
	value = trim(value)
	if isGRPC(value) { // has framing of its own, which depends on Content-Type
		return false
	}
	for i := range h.types {
		if h.types[i].fits(value) {
			return true
		}
	}
	return false
}

// isGRPC tells whether a Content-Type is that of gRPC or gRPC-Web.
func isGRPC(contentType []byte) bool {
	const grpc = "application/grpc"
	return len(contentType) >= len(grpc) && exchange.EqualFold(contentType[:len(grpc)], grpc)
}

// weaken makes a strong ETag a weak one, since an encoded content is not the same
// byte by byte (RFC 9110 section 8.8.1). In a 304 it does so only if the client has
// the weak one, so that the client knows it again.
func weaken(ex *exchange.Exchange, ifKnown bool) {
	f := &ex.Response.Fields
	tag := f.Get("etag")
	if len(tag) < 2 || tag[0] != '"' {
		return
	}
	from := len(ex.Memory)
	ex.Memory = append(append(ex.Memory, "W/"...), tag...)
	weak := taken(ex, from)
	if !ifKnown || bytes.Contains(ex.Request.Fields.Get("if-none-match"), weak) {
		f.Set("etag", weak)
	}
}
