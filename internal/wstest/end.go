package wstest

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
)

// Conn is the stream that frames go over.
type Conn interface {
	io.ReadWriteCloser // Close gives up the stream, with its connection
	// CloseWrite ends our direction only.
	CloseWrite() error
	// Abort breaks off without a good-bye: a TCP reset, or RST_STREAM.
	Abort()
}

// End is one end of a WebSocket after the handshake. Its methods that take no
// error back end the test on one.
type End struct {
	Conn
	Header http.Header // what the other side sent in the handshake
	Mask   bool        // Send masks frames, as clients do

	t         testing.TB
	name      string
	r         *bufio.Reader
	keys      *rand.ChaCha8
	mu        sync.Mutex
	sent, got digest
	ended     bool
}

// NewEnd is an end that says name in its errors.
func NewEnd(t testing.TB, name string, c Conn, header http.Header) *End {
	e := &End{Conn: c, Header: header, t: t, name: name, keys: rand.NewChaCha8([32]byte{7})}
	e.sent.h, e.got.h = sha256.New(), sha256.New()
	e.r = bufio.NewReaderSize(readFunc(e.read), 32<<10)
	return e
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func (e *End) read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got.add(p[:n])
	return n, err
}

// Write writes raw bytes.
func (e *End) Write(p []byte) (int, error) {
	n, err := e.Conn.Write(p)
	e.Note(p[:n])
	return n, err
}

// Read reads raw bytes.
func (e *End) Read(p []byte) (int, error) { return e.r.Read(p) }

// CloseWrite ends our direction; a second call does nothing.
func (e *End) CloseWrite() error {
	e.mu.Lock()
	ended := e.ended
	e.ended = true
	e.mu.Unlock()
	if ended {
		return nil
	}
	return e.Conn.CloseWrite()
}

// Finish ends our direction and wants the other to end, after whatever it still
// sends.
func (e *End) Finish() {
	e.t.Helper()
	if err := e.CloseWrite(); err != nil {
		e.t.Errorf("%s: half-close: %v", e.name, err)
	}
	if _, err := io.Copy(io.Discard, e.r); err != nil {
		e.t.Errorf("%s: %v instead of a clean end", e.name, err)
	}
}

// Note counts bytes as sent that went with the handshake.
func (e *End) Note(p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent.add(p)
}

// Send sends frames in one write, masked if this end masks.
func (e *End) Send(frames ...Frame) {
	e.t.Helper()
	var b []byte
	for _, f := range frames {
		b = e.Dress(f).Append(b)
	}
	e.SendRaw(b)
}

// Dress masks f if this end masks, with a key that no other frame has.
func (e *End) Dress(f Frame) Frame {
	if e.Mask {
		f.Masked = true
		_, _ = e.keys.Read(f.Key[:])
	}
	return f
}

// SendRaw sends bytes as they are.
func (e *End) SendRaw(b []byte) {
	e.t.Helper()
	if _, err := e.Write(b); err != nil {
		e.t.Fatalf("%s: write: %v", e.name, err)
	}
}

// Next reads a frame.
func (e *End) Next() Frame {
	e.t.Helper()
	f, err := Read(e.r)
	if err != nil {
		e.t.Fatalf("%s: got %v instead of a frame", e.name, err)
	}
	return f
}

// Expect reads a frame that has what want has, whatever its mask.
func (e *End) Expect(want Frame) {
	e.t.Helper()
	got := e.Next()
	want.Masked, want.Key = got.Masked, got.Key
	if !got.Equal(want) {
		e.t.Fatalf("%s: got %v, want %v", e.name, got, want)
	}
}

// ExpectEnd wants the clean end of the other direction.
func (e *End) ExpectEnd() {
	e.t.Helper()
	if f, err := Read(e.r); err != io.EOF {
		e.t.Fatalf("%s: got %v (%v) instead of the end", e.name, err, f)
	}
}

// ExpectBroken wants the other direction to end, in whatever way.
func (e *End) ExpectBroken() error {
	for {
		if _, err := Read(e.r); err != nil {
			return err
		}
	}
}

// Echo sends back, byte by byte the same but for the mask, what comes, until the
// stream or the close handshake is at its end.
func (e *End) Echo() {
	e.t.Helper()
	for {
		f, err := Read(e.r)
		if err == io.EOF {
			return
		}
		if err != nil {
			e.t.Fatalf("%s: echo: %v", e.name, err)
		}
		f.Masked, f.Key = false, [4]byte{}
		if f.Opcode == Ping {
			f.Opcode = Pong
		}
		if _, err := e.Write(e.Dress(f).Append(nil)); err != nil {
			e.t.Fatalf("%s: echo: %v", e.name, err)
		}
	}
}

// Same wants both ends to have seen the same bytes in both directions.
func Same(client, origin *End) error {
	var errs []error
	for _, d := range []struct {
		way      string
		from, to *End
	}{{"up", client, origin}, {"down", origin, client}} {
		if sent, got := d.from.sent.String(), d.to.got.String(); sent != got {
			errs = append(errs, fmt.Errorf("%s: sent %s, arrived %s", d.way, sent, got))
		}
	}
	return errors.Join(errs...)
}

type digest struct {
	n int64
	h hash.Hash
}

func (d *digest) add(p []byte) {
	d.n += int64(len(p))
	_, _ = d.h.Write(p)
}

func (d *digest) String() string { return fmt.Sprintf("%d bytes (SHA-256 %x)", d.n, d.h.Sum(nil)[:6]) }

// Payload makes n bytes that hold no pattern; text ones are ASCII.
func Payload(n int, text bool) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	if text {
		for i := range b {
			b[i] = ' ' + b[i]%95
		}
	}
	return b
}

// Errorf reports a fault that this end has seen.
func (e *End) Errorf(format string, args ...any) {
	e.t.Helper()
	e.t.Errorf(e.name+": "+format, args...)
}
