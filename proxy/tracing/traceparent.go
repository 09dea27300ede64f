package tracing

import (
	"encoding/hex"

	"portway/proxy/exchange"
)

const length = len("00-00000000000000000000000000000000-0000000000000000-00")

// parse reads a traceparent (W3C Trace Context section 3.2.2), of which later versions
// may go on. It tells whether it is well-formed; if it is not, t is arbitrary.
func parse(b []byte, t *exchange.Trace) bool {
	if len(b) < length || b[2] != '-' || b[35] != '-' || b[52] != '-' || string(b[:2]) == "ff" {
		return false
	}
	if len(b) > length && (string(b[:2]) == "00" || b[length] != '-') {
		return false
	}
	for _, c := range b[:length] {
		if c >= 'A' && c <= 'F' {
			return false
		}
	}
	var version, flags [1]byte
	for _, part := range []struct {
		to   []byte
		from []byte
	}{{version[:], b[:2]}, {t.ID[:], b[3:35]}, {t.Parent[:], b[36:52]}, {flags[:], b[53:length]}} {
		if _, err := hex.Decode(part.to, part.from); err != nil {
			return false
		}
	}
	t.Sampled = flags[0]&1 != 0
	return t.ID != [16]byte{} && t.Parent != [8]byte{}
}
