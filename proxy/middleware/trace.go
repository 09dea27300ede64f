package middleware

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"portway/label"
	"portway/proxy/exchange"
)

// trace makes sure that each request is part of a trace (W3C Trace Context): where the
// client gives none, or one that is not well-formed, a new one begins. What is
// well-formed passes as it is, since Portway has no part of its own in a trace. Without
// this middleware, whatever the client sends passes as it is.
type trace struct {
	on      bool
	restart bool
}

var _ Middleware = (*trace)(nil)

// Labels binds trace and its detail.
func (m *trace) Labels(s *label.Set) {
	s.Bool(&m.on, "trace", false,
		"Begin a trace (W3C traceparent, sampled) for requests without a well-formed one; its parent-id is the request's ID.", label.Example("true"))
	s.Bool(&m.restart, "trace.restart", false,
		"Begin a new trace for every request: strangers do not choose what yours are called.", label.Needs("trace"), label.Example("true"))
}

var nameTraceparent = []byte("Traceparent")

// Wrap begins traces, if that is asked for.
func (m *trace) Wrap(next exchange.Handler) exchange.Handler {
	if !m.on {
		return next
	}
	restart := m.restart
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		f := &ex.Request.Fields
		if restart || f.Count("traceparent") != 1 || !validTrace(f.Get("traceparent")) {
			remove(f, "traceparent")
			remove(f, "tracestate") // belongs to the trace that is not continued
			f.Add(nameTraceparent, newTrace(ex))
		}
		next.Serve(ex)
	})
}

// newTrace is a traceparent of version 00 with the flag "sampled".
func newTrace(ex *exchange.Exchange) []byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], max(rand.Uint64(), 1)) // all zeros are not allowed
	from := len(ex.Memory)
	b := append(ex.Memory, "00-"...)
	b = append(hex.AppendEncode(b, id[:]), '-')
	ex.Memory = append(ex.AppendRequestID(b), "-01"...)
	return taken(ex, from)
}

// validTrace tells whether b is a traceparent (W3C Trace Context section 3.2.2): version,
// trace-id, parent-id and flags in lower-case hex. Versions above 00 may go on.
func validTrace(b []byte) bool {
	const length = len("00-00000000000000000000000000000000-0000000000000000-00")
	if len(b) < length || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return false
	}
	version, traceID, parentID, flags, rest := b[:2], b[3:35], b[36:52], b[53:length], b[length:]
	for _, part := range [...][]byte{version, traceID, parentID, flags} {
		for _, c := range part {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	switch {
	case string(version) == "ff", allZero(traceID), allZero(parentID):
		return false
	case string(version) == "00":
		return len(rest) == 0
	}
	return len(rest) == 0 || rest[0] == '-'
}

func allZero(digits []byte) bool {
	for _, c := range digits {
		if c != '0' {
			return false
		}
	}
	return true
}
