package exchange

// Trace is the place of an exchange in a trace (W3C Trace Context); the ID of its own
// span is the request's ID.
type Trace struct {
	ID      [16]byte
	Parent  [8]byte // zero: the trace begins here
	Sampled bool    // false: nothing is recorded, and the rest means nothing
}
