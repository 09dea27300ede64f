package h1

// For tests that need package upstream, which imports this one.
var (
	CutRow   = cutRow
	Received = received
)
