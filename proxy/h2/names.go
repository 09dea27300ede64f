package h2

import "portway/proxy/exchange"

// staticEntries is the size of HPACK's static table (RFC 7541 appendix A).
const staticEntries = 61

// policy says how the value of a response field is encoded.
type policy uint8

const (
	literal policy = iota // changes all the time, or is unknown
	repeats               // the same in most responses: indexed
	secret                // never indexed, here or by those behind us (RFC 7541 section 7.1.3)
	drop                  // about the connection or the framing: not in HTTP/2 (RFC 9113 section 8.2.2)
)

// nameID tells names apart in the encoder's table.
type nameID uint8

type knownName struct {
	name   string // in lower case
	id     nameID
	static uint8 // index in the static table, 0 if it is not there
	policy policy
}

// known lists names of responses and of trailers. Those that are missing are
// spelled out as literals.
var known = func() map[string]knownName {
	m := map[string]knownName{
		"connection":        {policy: drop},
		"proxy-connection":  {policy: drop},
		"keep-alive":        {policy: drop},
		"transfer-encoding": {policy: drop},
		"upgrade":           {policy: drop},
		"te":                {policy: drop},
		"host":              {policy: drop},
		"content-length":    {policy: drop}, // written from Response.Length
		"http2-settings":    {policy: drop},

		"set-cookie":                {static: 55, policy: secret},
		"authorization":             {static: 23, policy: secret},
		"proxy-authorization":       {static: 49, policy: secret},
		"cookie":                    {static: 32, policy: secret},
		"authentication-info":       {policy: secret},
		"proxy-authentication-info": {policy: secret},
		"x-csrf-token":              {policy: secret},
		"x-api-key":                 {policy: secret},

		"age":                {static: 21},
		"content-location":   {static: 29},
		"content-range":      {static: 30},
		"etag":               {static: 34},
		"expires":            {static: 36},
		"last-modified":      {static: 44},
		"link":               {static: 45},
		"location":           {static: 46},
		"proxy-authenticate": {static: 48},
		"refresh":            {static: 52},
		"retry-after":        {static: 53},
		"www-authenticate":   {static: 61},
	}
	for name, static := range map[string]uint8{
		"accept-ranges": 18, "access-control-allow-origin": 20, "allow": 22,
		"cache-control": 24, "content-disposition": 25, "content-encoding": 26,
		"content-language": 27, "content-type": 31, "date": 33, "server": 54,
		"strict-transport-security": 56, "vary": 59, "via": 60,
		"access-control-allow-credentials": 0, "access-control-allow-headers": 0,
		"access-control-allow-methods": 0, "access-control-expose-headers": 0,
		"access-control-max-age": 0, "alt-svc": 0, "content-security-policy": 0,
		"cross-origin-embedder-policy": 0, "cross-origin-opener-policy": 0,
		"cross-origin-resource-policy": 0, "grpc-accept-encoding": 0, "grpc-encoding": 0,
		"grpc-message": 0, "grpc-status": 0, "nel": 0,
		"permissions-policy": 0, "pragma": 0, "referrer-policy": 0, "report-to": 0,
		"reporting-endpoints": 0, "timing-allow-origin": 0, "trailer": 0,
		"x-accel-buffering": 0, "x-cache": 0, "x-content-type-options": 0,
		"x-dns-prefetch-control": 0, "x-download-options": 0, "x-frame-options": 0,
		"x-permitted-cross-domain-policies": 0, "x-powered-by": 0, "x-robots-tag": 0,
		"x-ua-compatible": 0, "x-xss-protection": 0,
	} {
		m[name] = knownName{static: static, policy: repeats}
	}
	id := nameID(0)
	for name, k := range m {
		id++
		k.id, k.name = id, name
		m[name] = k
	}
	return m
}()

// knownByHash has the known names in groups by hashName.
var knownByHash = func() (t [128][]knownName) {
	for name, k := range known {
		h := hashName([]byte(name))
		t[h] = append(t[h], k)
	}
	return t
}()

// hashName is the same whatever the case of the name, which is not empty.
func hashName(name []byte) uint {
	n := len(name)
	return (uint(n) + 5*uint(name[0]|0x20) + 29*uint(name[n-1]|0x20) + 3*uint(name[n/2]|0x20)) % 128
}

// lookUp finds a name in any case; nil if it is not known.
func lookUp(name []byte) *knownName {
	if len(name) == 0 {
		return nil
	}
	group := knownByHash[hashName(name)]
	for i := range group {
		if k := &group[i]; exchange.EqualFold(name, k.name) {
			return k
		}
	}
	return nil
}
