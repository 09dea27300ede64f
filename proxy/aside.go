package proxy

import (
	"context"
	"time"
)

// lastChance is how long connections that exist when a successor takes over may
// still begin a request with us.
const lastChance = 2 * time.Second

// StepAside prepares for the end of Run where another process serves the same
// sockets already, so that no client notices. HTTP/3 ends at once, since its socket
// can have one reader only: StepAside returns when the other may begin to read, at
// the latest when ctx is done. When Run's context ends afterwards, connections get
// time for a last request, instead of being closed while one may be on its way.
func (s *Server) StepAside(ctx context.Context) {
	s.leaving.Store(true)
	if s.http3 != nil {
		_ = s.http3.Shutdown(ctx) // what had to be cut off, its clients try again
	}
}

// lastRequests waits for handshakes to end, for new connections to send their
// first request, and for others to be used once more: each is closed after its
// answer, which says so.
func (s *Server) lastRequests(fronts map[string]front) {
	if f, ok := fronts[alpnHTTP1].(interface{ LastRequests() }); ok {
		f.LastRequests()
	}
	time.Sleep(lastChance)
}
