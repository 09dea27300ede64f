package h2

import (
	"io"

	"portway/proxy/exchange"
)

// request is a request's head while it is decoded.
type request struct {
	ex *exchange.Exchange // nil: the block is no request

	method, scheme, authority, path, protocol string
	seen                                      uint8 // pseudo-headers, by the order above

	host      string
	hosts     int
	length    int64 // -1: not given
	cookies   int
	cookie    string
	joined    int    // where the joined cookies begin in ex.Memory
	status    int    // refused with, though well-formed; 0: it is not
	reason    string // and why
	expects   bool
	teTrailer bool
}

const (
	seenMethod = 1 << iota
	seenScheme
	seenAuthority
	seenPath
	seenProtocol
)

// maxMethod is the same as over HTTP/1.1.
const maxMethod = 32

func (r *request) begin() {
	*r = request{ex: exchange.Get(), length: -1}
}

// refuse notes what to answer in the handler's stead.
func (r *request) refuse(status int, reason string) {
	if r.status == 0 {
		r.status, r.reason = status, reason
	}
}

// pseudo takes a pseudo-header; it returns what is wrong with it.
func (r *request) pseudo(name, value string) string {
	var into *string
	var bit uint8
	switch name {
	case ":method":
		into, bit = &r.method, seenMethod
	case ":scheme":
		into, bit = &r.scheme, seenScheme
	case ":authority":
		into, bit = &r.authority, seenAuthority
	case ":path":
		into, bit = &r.path, seenPath
	case ":protocol":
		into, bit = &r.protocol, seenProtocol
	default:
		return "unknown pseudo-header"
	}
	if r.seen&bit != 0 {
		return name + " twice"
	}
	r.seen |= bit
	*into = value
	return ""
}

// checkField tells what is wrong with a field wherever it stands (RFC 9113
// sections 8.2.1 and 8.2.2).
func checkField(name, value string) string {
	if !isLowerName(name) {
		return "field name with upper-case letters or what names cannot have"
	}
	if !validValue(bytesOf(value)) {
		return "control character, or white space at the ends, in the value of " + name
	}
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return "connection-specific field " + name
	}
	return ""
}

// field takes a field that is no pseudo-header; it returns what is wrong with it.
func (r *request) field(name, value string) string {
	if why := checkField(name, value); why != "" {
		return why
	}
	switch name {
	case "host":
		if r.hosts++; r.hosts > 1 {
			return "host twice"
		}
		r.host = value
	case "content-length":
		n, ok := parseLength(value)
		if !ok || r.length >= 0 {
			return "content-length that is no length, or twice"
		}
		r.length = n
	case "te":
		if !equalFold(value, "trailers") {
			return "te other than trailers"
		}
		r.teTrailer = true
	case "expect":
		if !equalFold(value, "100-continue") {
			r.refuse(417, "Expect is not 100-continue")
		}
		r.expects = true
	case "cookie":
		r.addCookie(value)
	case "trailer", "http2-settings":
		// About the connection's framing, which is not the next one's.
	default:
		r.ex.Request.Fields.AddString(name, value)
	}
	return ""
}

// addCookie joins the crumbs that a client may split Cookie into (RFC 9113
// section 8.2.3).
func (r *request) addCookie(value string) {
	m := r.ex.Memory
	switch r.cookies++; r.cookies {
	case 1:
		r.cookie = value
		return
	case 2:
		r.joined = len(m)
		m = append(m, r.cookie...)
	}
	m = append(m, "; "...)
	r.ex.Memory = append(m, value...)
}

// finish looks at the head as a whole; it returns what is wrong with it. last
// says that no content follows.
func (r *request) finish(last bool) string {
	if !isToken(r.method) {
		return ":method is missing or no token"
	}
	switch {
	case len(r.method) > maxMethod:
		r.refuse(501, "method too long")
	case r.method == "CONNECT" && r.seen&seenProtocol == 0:
		if r.seen&(seenScheme|seenPath) != 0 || r.seen&seenAuthority == 0 {
			return "CONNECT with :scheme or :path, or without :authority"
		}
		r.refuse(501, "CONNECT: this is no forward proxy")
		return ""
	case r.seen&seenProtocol != 0 && (r.method != "CONNECT" || !isToken(r.protocol)):
		return ":protocol without CONNECT, or no token"
	}
	if r.scheme != "https" && r.scheme != "http" {
		return ":scheme is missing or not http"
	}
	if last && r.length > 0 {
		return "content-length without content"
	}
	if why := r.target(); why != "" {
		return why
	}
	return r.hostname()
}

// target checks :path and splits it.
func (r *request) target() string {
	method := r.method
	if r.seen&seenProtocol != 0 {
		if r.length > 0 {
			return "content-length with extended CONNECT"
		}
		method = "GET"
	}
	path, query, hasQuery, ok := cutTarget(r.path, method)
	if !ok {
		return ":path is missing or not an absolute path"
	}
	q := &r.ex.Request
	q.Method, q.Path, q.Query, q.HasQuery = bytesOf(method), bytesOf(path), bytesOf(query), hasQuery
	return ""
}

// hostname finds out what the request is for: :authority and Host must agree.
func (r *request) hostname() string {
	name := r.authority
	switch {
	case r.seen&seenAuthority == 0 && r.hosts == 0:
		r.refuse(400, "no Host")
		return ""
	case r.seen&seenAuthority == 0:
		name = r.host
	case r.hosts > 0 && !equalFold(r.host, r.authority):
		return "host differs from :authority"
	}
	if !isAuthority(name) {
		return ":authority or host is not a host"
	}
	r.ex.Request.Authority = bytesOf(name)
	return ""
}

// fill makes s and its exchange from the request; last says that no content
// follows.
func (r *request) fill(s *stream, last bool) {
	ex := r.ex
	q := &ex.Request
	s.status, s.reason = r.status, r.reason
	switch r.cookies {
	case 0:
	case 1:
		q.Fields.AddString("cookie", r.cookie)
	default:
		q.Fields.Add(bytesOf("cookie"), ex.Memory[r.joined:len(ex.Memory):len(ex.Memory)])
	}
	q.TETrailers = r.teTrailer
	ex.Front = s
	ex.Conn = s.c.info
	ex.ClientIP = s.c.info.Remote.Addr().Unmap()
	s.declared = r.length
	s.head = r.method == "HEAD"
	s.tunnel = r.seen&seenProtocol != 0
	switch {
	case s.tunnel:
		q.Upgrade = bytesOf(r.protocol)
		s.declared = -1
	case last:
		s.declared = 0
	case r.status != 0 || r.length == 0:
	case r.length > 0:
		q.Length = r.length
	default:
		q.Length = exchange.LengthUnknown
	}
	if q.Length != 0 {
		s.body = &requestBody{s: s}
		q.Body = s.body
		s.in.expects = r.expects
	}
	if last {
		s.in.end(io.EOF)
	} else if r.status != 0 {
		s.in.Close() // nobody will read it
	}
}
