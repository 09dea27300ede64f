package h1

import (
	"bytes"
	"net/netip"
	"unsafe"

	"portway/proxy/exchange"
)

// RequestHead is what the head of a request says about the connection; all else
// is in exchange.Request.
type RequestHead struct {
	Framing
	HTTP10         bool
	ExpectContinue bool // the client waits for 100 Continue before it sends content
	// Scheme is that of a target in absolute form, "http" or "https" in the case it
	// came in; nil for the usual forms.
	Scheme []byte
}

// maxMethod bounds methods; the longest registered one has 17 letters.
const maxMethod = 32

// ParseRequestHead parses the head of a request from buf into req: everything
// but Body and Trailers. It returns how many bytes the head took, 0 and a nil
// error if buf does not hold all of it yet, or a *SyntaxError. Slices in req
// point into buf. One empty line in front of the request is skipped (RFC 9112
// section 2.2).
func ParseRequestHead(buf []byte, req *exchange.Request, limits Limits) (n int, head RequestHead, err error) {
	n, _, head, err = parseRequestHead(buf, 0, req, limits)
	return n, head, err
}

// parseRequestHead is ParseRequestHead for a head that comes bit by bit: next is
// the value of from for the next try.
func parseRequestHead(buf []byte, from int, req *exchange.Request, limits Limits) (n, next int, head RequestHead, err error) {
	skip := 0
	if len(buf) > 0 && buf[0] == '\r' {
		if len(buf) == 1 {
			return 0, 0, head, nil
		}
		if buf[1] != '\n' {
			return 0, 0, head, bad("bare CR before the request")
		}
		skip = 2
		buf = buf[2:]
	}
	if len(buf) > 0 && class[buf[0]]&isToken == 0 {
		return 0, 0, head, bad("request begins with %s, which no method does", char(buf[0]))
	}
	end, next, err := headEnd(buf, from, limits)
	if end == 0 {
		return 0, next, head, err
	}
	req.Fields.Reset()
	line, rest, err := cutLine(buf[:end])
	if err != nil {
		return 0, 0, head, err
	}
	if err := parseRequestLine(line, req, &head); err != nil {
		return 0, 0, head, err
	}
	var s section
	if err := s.parse(rest, &req.Fields, limits); err != nil {
		return 0, 0, head, err
	}
	if err := s.finishRequest(req, &head); err != nil {
		return 0, 0, head, err
	}
	return skip + end, 0, head, nil
}

// parseRequestLine parses "method SP target SP version". An authority in the
// target goes to req.Authority.
func parseRequestLine(line []byte, req *exchange.Request, head *RequestHead) error {
	i := bytes.IndexByte(line, ' ')
	j := bytes.LastIndexByte(line, ' ')
	if i < 0 || i == j {
		return bad("request line has not three parts")
	}
	method, target, version := line[:i], line[i+1:j], line[j+1:]
	if !ValidName(method) {
		return bad("method %.40q is not a token", method)
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		head.HTTP10 = true
	default:
		if len(version) == 8 && bytes.HasPrefix(version, []byte("HTTP/")) &&
			class[version[5]]&isDigit != 0 && version[6] == '.' && class[version[7]]&isDigit != 0 {
			return &SyntaxError{Status: 505, Reason: "HTTP version " + string(version[5:]) + " is not spoken here"}
		}
		return bad("%.40q is not an HTTP version", version)
	}
	if len(method) > maxMethod {
		return &SyntaxError{Status: 501, Reason: "method too long"}
	}
	if string(method) == "CONNECT" {
		return &SyntaxError{Status: 501, Reason: "CONNECT: this is no forward proxy"}
	}
	req.Method = method
	return parseTarget(target, req, head)
}

// parseTarget takes the forms of RFC 9112 section 3.2 but authority-form, which
// is CONNECT's.
func parseTarget(target []byte, req *exchange.Request, head *RequestHead) error {
	req.Authority = nil
	if !all(target, isTarget) {
		return bad("character in the request target that must be percent-encoded")
	}
	switch {
	case len(target) == 0:
		return bad("empty request target")
	case target[0] == '/':
		return parsePath(target, req)
	case string(target) == "*":
		if string(req.Method) != "OPTIONS" {
			return bad("target * is for OPTIONS only")
		}
		req.Path, req.Query, req.HasQuery = target, nil, false
		return nil
	}
	i := bytes.Index(target, []byte("://"))
	if i < 0 {
		return bad("request target is neither a path nor an http URL")
	}
	head.Scheme = target[:i]
	if !exchange.EqualFold(head.Scheme, "http") && !exchange.EqualFold(head.Scheme, "https") {
		return bad("scheme %.40q of the request target is not http", head.Scheme)
	}
	authority := target[i+3:]
	target = nil
	if i := bytes.IndexAny(authority, "/?"); i >= 0 {
		authority, target = authority[:i], authority[i:]
	}
	if !ValidAuthority(authority) {
		return bad("authority %.80q of the request target is not a host", authority)
	}
	req.Authority = authority
	switch {
	case len(target) == 0 && string(req.Method) == "OPTIONS":
		req.Path, req.Query, req.HasQuery = asterisk, nil, false
		return nil
	case len(target) == 0:
		req.Path, req.Query, req.HasQuery = slash, nil, false
		return nil
	case target[0] == '?':
		req.Path, req.Query, req.HasQuery = slash, target[1:], true
		return nil
	}
	return parsePath(target, req)
}

var slash, asterisk = []byte("/"), []byte("*")

// parsePath splits path and query.
func parsePath(target []byte, req *exchange.Request) error {
	req.Path, req.Query, req.HasQuery = target, nil, false
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		req.Path, req.Query, req.HasQuery = target[:i], target[i+1:], true
	}
	if !ValidPath(req.Path) {
		return bad("backslash or broken percent-encoding in the path")
	}
	return nil
}

// ValidPath tells whether b is an absolute path as RFC 3986 has it, with a few
// more characters that browsers leave as they are: no controls, space, '#', '?',
// backslash (which some would take for a slash), nor non-ASCII; '%' only before two
// hexadecimal digits.
func ValidPath(b []byte) bool {
	if len(b) == 0 || b[0] != '/' {
		return false
	}
	for i, c := range b {
		switch {
		case class[c]&isTarget == 0 || c == '?' || c == '\\':
			return false
		case c == '%' && (i+2 >= len(b) || class[b[i+1]]&isHex == 0 || class[b[i+2]]&isHex == 0):
			return false
		}
	}
	return true
}

// ValidQuery tells whether b can be a query: printable ASCII without '#'.
func ValidQuery(b []byte) bool { return all(b, isTarget) }

// ValidAuthority tells whether b is a host, perhaps with a port: a DNS name, an
// IPv4 address, or an IPv6 address in brackets; no user information.
func ValidAuthority(b []byte) bool {
	if len(b) == 0 || len(b) > 255+6 {
		return false
	}
	if b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 || bytes.IndexByte(b[:i], '%') >= 0 {
			return false
		}
		// The string is gone when ParseAddr returns, so no copy is made.
		addr, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(b[1:]), i-1))
		return err == nil && addr.Is6() && validPort(b[i+1:])
	}
	i := 0
	for i < len(b) && class[b[i]]&isHost != 0 {
		i++
	}
	return i > 0 && validPort(b[i:])
}

// validPort takes "" and ":" with a number below 65536.
func validPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != ':' || len(b) < 2 || len(b) > 6 || !all(b[1:], isDigit) {
		return false
	}
	n := 0
	for _, c := range b[1:] {
		n = n*10 + int(c-'0')
	}
	return n < 1<<16
}

// finishRequest decides what the fields mean together with the request line.
func (s *section) finishRequest(req *exchange.Request, head *RequestHead) error {
	if err := s.checkHost(req, head); err != nil {
		return err
	}
	req.TETrailers = s.teTrailers
	head.KeepAlive = !s.close && (!head.HTTP10 || s.keepAlive)
	switch {
	case s.chunked && head.HTTP10:
		return bad("Transfer-Encoding in an HTTP/1.0 request")
	case s.chunked:
		head.Kind, req.Length = Chunked, exchange.LengthUnknown
	case s.length > 0:
		head.Kind, head.Length, req.Length = FixedLength, s.length, s.length
	default:
		req.Length = 0
	}
	if s.expect != nil && !head.HTTP10 {
		if !exchange.EqualFold(s.expect, "100-continue") {
			return &SyntaxError{Status: 417, Reason: "Expect is not 100-continue"}
		}
		head.ExpectContinue = head.Kind != NoBody
	}
	req.Upgrade = nil
	if s.upgrading && s.upgrades == 1 && !head.HTTP10 && mayUpgrade(s.upgrade) {
		head.Upgrade, req.Upgrade = s.upgrade, s.upgrade
	}
	return nil
}

// checkHost wants one Host, as RFC 9112 section 3.2 does, and the same one in a
// target in absolute form.
func (s *section) checkHost(req *exchange.Request, head *RequestHead) error {
	if !s.hasHost {
		if !head.HTTP10 {
			return bad("no Host")
		}
		return nil
	}
	if !ValidAuthority(s.host) {
		return bad("Host %.80q is not a host", s.host)
	}
	if req.Authority != nil && (len(req.Authority) != len(s.host) || !equalFold(req.Authority, s.host)) {
		return bad("request target is for %q but Host is %q", req.Authority, s.host)
	}
	req.Authority = s.host
	return nil
}

// mayUpgrade tells whether Upgrade's value is one protocol which can be left to
// the origin. Others are ignored, as any server may (RFC 9110 section 7.8): lists,
// since the origin's choice would be hidden from us, and HTTP itself or TLS, since
// requests would then pass us unseen.
func mayUpgrade(protocol []byte) bool {
	name, version, _ := bytes.Cut(protocol, []byte("/"))
	if !ValidName(name) || len(version) > 0 && !ValidName(version) {
		return false
	}
	return !exchange.EqualFold(name, "h2c") && !exchange.EqualFold(name, "h2") &&
		!exchange.EqualFold(name, "h3") && !exchange.EqualFold(name, "http") &&
		!exchange.EqualFold(name, "tls")
}
