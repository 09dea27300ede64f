// Package wire holds what the fronts share beneath HTTP: pooled buffers, a Cork
// that sends several TLS records with one system call, and the question whether
// a silent peer is still there.
package wire

import (
	"net"
	"sync"
	"syscall"
)

// Sizes of pooled buffers.
const (
	Small = 16 << 10 // what one TLS record holds
	Large = 64 << 10
)

var (
	smalls = sync.Pool{New: func() any { return new([Small]byte) }}
	larges = sync.Pool{New: func() any { return new([Large]byte) }}
)

// Get gives a buffer of at least n bytes, in the next size that there is. Its
// content is arbitrary.
func Get(n int) []byte {
	switch {
	case n <= Small:
		return smalls.Get().(*[Small]byte)[:]
	case n <= Large:
		return larges.Get().(*[Large]byte)[:]
	}
	return make([]byte, n)
}

// Put takes back what Get gave, which may have been cut shorter, but not at the
// front. Nobody uses it any more. nil is fine.
func Put(b []byte) {
	switch cap(b) {
	case Small:
		smalls.Put((*[Small]byte)(b[:Small]))
	case Large:
		larges.Put((*[Large]byte)(b[:Large]))
	}
}

// Socket returns the connection at the bottom of nc, beneath TLS, a Cork and
// others that tell what they wrap: closing it interrupts whoever uses nc, at once
// and without waiting.
func Socket(nc net.Conn) net.Conn {
	for {
		var below net.Conn
		switch w := nc.(type) {
		case interface{ NetConn() net.Conn }: // tls.Conn, Cork
			below = w.NetConn()
		case interface{ Raw() net.Conn }: // proxyproto.Conn
			below = w.Raw()
		}
		if below == nil {
			return nc
		}
		nc = below
	}
}

// Watch can tell whether a peer has gone, without reading from the connection.
// The zero value knows nothing and says that it is there.
type Watch struct {
	raw   syscall.RawConn
	check func(fd uintptr)
	gone  bool
}

// Reset watches the peer of nc. The socket need not be TCP, but sockets that the
// kernel does not know are never gone.
func (w *Watch) Reset(nc net.Conn) {
	*w = Watch{}
	sc, ok := Socket(nc).(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		w.raw = raw
		w.check = func(fd uintptr) { w.gone = hungUp(fd) }
	}
}

// Gone tells whether the peer has closed its direction or reset the connection,
// though bytes that it sent before may not have been read yet. A peer that only
// closed its own direction cannot be told from one that is gone. Gone never waits,
// allocates nothing, and is called from one goroutine.
func (w *Watch) Gone() bool {
	if w.raw == nil {
		return false
	}
	w.gone = false
	// An error means that we have closed the socket, which is no news.
	_ = w.raw.Control(w.check)
	return w.gone
}
