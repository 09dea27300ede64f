package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Sock is a socket whose reads and writes do not tell Go's scheduler that they
// might wait, because on a non-blocking socket they never do. For what is told,
// the scheduler's monitor thread wakes up every 20 µs while the machine is busy, and
// takes processors away from calls that take longer than that, which must then get
// in line for another one: with small answers, a tenth of all CPU time. Connections
// that are no sockets work as they are.
type Sock struct {
	net.Conn

	raw             syscall.RawConn // nil if it is no socket
	readFn, writeFn func(fd uintptr) bool

	reading sync.Mutex // held with what follows
	in      []byte     // where to read to; nil: a pooled buffer, once there is something
	got     int
	gotErr  error
	one     [1]byte

	noWait bool // only the reading goroutine looks at it

	writing sync.Mutex // held with what follows
	out     []byte     // still to be written
	outErr  error
}

// NewSock makes one of nc, which must not have read ahead if it is a syscall.Conn.
func NewSock(nc net.Conn) *Sock {
	s := &Sock{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw, s.readFn, s.writeFn = raw, s.tryRead, s.tryWrite
		}
	}
	return s
}

// NetConn returns the connection beneath.
func (s *Sock) NetConn() net.Conn { return s.Conn }

// CloseWrite ends our direction, if that is possible without the other.
func (s *Sock) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}

// Read reads what is there, or waits for something.
func (s *Sock) Read(p []byte) (int, error) {
	if s.raw == nil || len(p) == 0 {
		return s.Conn.Read(p)
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.read(p)
}

// ReadPooled is Read into a buffer of size Small, which is taken only when there
// is something to read: it holds n bytes. Put takes it back.
func (s *Sock) ReadPooled() (buf []byte, n int, err error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.raw == nil {
		if n, err = s.Conn.Read(s.one[:]); n > 0 {
			buf = Get(Small)
			buf[0] = s.one[0]
		}
		return buf, n, err
	}
	n, err = s.read(nil)
	buf, s.in = s.in, nil
	return buf, n, err
}

func (s *Sock) read(p []byte) (int, error) {
	s.in, s.got, s.gotErr = p, 0, nil
	err := s.raw.Read(s.readFn)
	if p != nil {
		s.in = nil
	}
	switch {
	case err != nil:
		return 0, s.failed("read", err)
	case s.gotErr == ErrNothing:
		return 0, ErrNothing
	case s.gotErr != nil:
		return 0, s.failed("read", s.gotErr)
	case s.got == 0:
		return 0, io.EOF
	}
	return s.got, nil
}

// tryRead is called by the poller: false waits until there is something.
func (s *Sock) tryRead(fd uintptr) bool {
	p, pooled := s.in, false
	if p == nil {
		p, pooled = Get(Small), true
	}
	n, err := TryRead(fd, p)
	if pooled {
		if n > 0 {
			s.in = p
		} else {
			Put(p)
		}
	}
	if err == syscall.EAGAIN {
		if !s.noWait {
			return false
		}
		err = ErrNothing
	}
	s.got, s.gotErr = n, err
	return true
}

// NoWait makes Read give ErrNothing instead of waiting, as long as it is on. The
// goroutine that reads calls it; TLS above goes on well afterwards. It returns false
// where that cannot be had.
func (s *Sock) NoWait(on bool) bool {
	s.noWait = on && s.raw != nil
	return s.raw != nil
}

// ErrNothing is what Read says instead of waiting. It is temporary, or crypto/tls
// would take the connection for broken.
var ErrNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing to read at the moment" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// Write writes all of p.
func (s *Sock) Write(p []byte) (int, error) {
	if s.raw == nil || len(p) == 0 {
		return s.Conn.Write(p)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.out, s.outErr = p, nil
	err := s.raw.Write(s.writeFn)
	n := len(p) - len(s.out)
	s.out = nil
	if err == nil {
		err = s.outErr
	}
	if err != nil {
		err = s.failed("write", err)
	}
	return n, err
}

// tryWrite is called by the poller: false waits until there is room.
func (s *Sock) tryWrite(fd uintptr) bool {
	for len(s.out) > 0 {
		n, err := TryWrite(fd, s.out)
		s.out = s.out[n:]
		switch {
		case err == syscall.EAGAIN:
			return false
		case err == nil && n == 0:
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			s.outErr = err
			return true
		}
	}
	return true
}

// failed words an error as package net does.
func (s *Sock) failed(op string, err error) error {
	if e := (*net.OpError)(nil); errors.As(err, &e) {
		err = e.Err // of the raw connection, which has names of its own for what it does
	}
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // comes from the kernel as it is
		err = os.NewSyscallError(op, errno)
	}
	addr := s.RemoteAddr()
	return &net.OpError{Op: op, Net: addr.Network(), Source: s.LocalAddr(), Addr: addr, Err: err}
}
