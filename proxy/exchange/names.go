package exchange

// OfConnection tells whether a field says how a message is framed or concerns one
// connection: those are for the fronts and upstreams to write, and never forwarded.
func OfConnection(name []byte) bool {
	switch len(name) {
	case 2:
		return EqualFold(name, "te")
	case 7:
		return EqualFold(name, "upgrade") || EqualFold(name, "trailer")
	case 10:
		return EqualFold(name, "connection") || EqualFold(name, "keep-alive")
	case 14:
		return EqualFold(name, "content-length")
	case 16:
		return EqualFold(name, "proxy-connection")
	case 17:
		return EqualFold(name, "transfer-encoding")
	}
	return false
}

// TrailerAllowed tells whether a field may come in trailers. Those that say how
// to frame, route, authenticate or read a message come too late there, and are
// dropped (RFC 9110 section 6.5.1), lest a recipient that merges trailers into the
// head believes them.
func TrailerAllowed(name []byte) bool {
	for _, known := range headOnly {
		if EqualFold(name, known) {
			return false
		}
	}
	for _, prefix := range []string{"x-forwarded-", "proxy-", "access-control-", "sec-"} {
		if len(name) > len(prefix) && EqualFold(name[:len(prefix)], prefix) {
			return false
		}
	}
	return true
}

// OnlyTrailers removes lines that TrailerAllowed does not let pass.
func (f *Fields) OnlyTrailers() {
	for i := range f.list {
		if !TrailerAllowed(f.list[i].Name) { // hardly ever
			f.DelFunc(func(name, _ []byte) bool { return !TrailerAllowed(name) })
			return
		}
	}
}

var headOnly = []string{
	"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
	"age", "authorization", "cache-control", "content-disposition", "content-encoding", "content-range",
	"content-type", "cookie", "date", "expect", "expires", "forwarded", "if-match", "if-modified-since",
	"if-none-match", "if-range", "if-unmodified-since", "location", "max-forwards", "origin", "pragma",
	"range", "retry-after", "set-cookie", "vary", "via", "warning", "www-authenticate", "x-real-ip",
}
