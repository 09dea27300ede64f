package upstream

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// errRead marks that a request body could not be read.
var errRead = errors.New("read the request's body")

// upload sends the body of the request while the answer is awaited or even read.
// What goes wrong on the way to the origin is left to the receiving side: there
// may be an answer that says why, an early 413 for example.
func (s *stream) upload() {
	c := s.conn.Load()
	if c == nil {
		return
	}
	buf := wire.Get(wire.Large)
	defer wire.Put(buf)
	q := &s.ex.Request
	var err error
	if q.Length < 0 {
		err = sendChunks(c, q, buf)
	} else {
		err = sendLength(c, q, buf)
	}
	c.send.set(quiet)
	switch {
	case err == nil:
		if s.parts.Add(-1) == 0 {
			s.release()
		}
	case errors.Is(err, errRead):
		// Half a request: the origin must not take it for a whole one, and the
		// client who caused it needs no answer.
		s.pool.kill(c, err)
	}
}

// sendLength sends a body of known length.
func sendLength(c *conn, q *exchange.Request, buf []byte) error {
	for left := q.Length; left > 0; {
		n, err := readPart(c, q.Body, buf[:min(int64(len(buf)), left)])
		if left -= int64(n); n > 0 {
			if werr := write(c, buf[:n]); werr != nil {
				return werr
			}
		}
		if atEnd(err) && left > 0 {
			err = fmt.Errorf("%w: %w", errRead, io.ErrUnexpectedEOF)
		}
		if err != nil && left > 0 {
			return err
		}
	}
	return nil
}

// sendChunks sends a body of unknown length, each part as one chunk in one write,
// and the trailers.
func sendChunks(c *conn, q *exchange.Request, buf []byte) error {
	const (
		front = 8 // room for the size: six hex digits, CR, LF
		back  = 2
	)
	for {
		n, err := readPart(c, q.Body, buf[front:len(buf)-back])
		if n > 0 {
			size := strconv.AppendUint(buf[:0:6], uint64(n), 16)
			from := front - 2 - len(size)
			copy(buf[from:], size)
			copy(buf[front-2:], "\r\n")
			copy(buf[front+n:], "\r\n")
			if werr := write(c, buf[from:front+n+back]); werr != nil {
				return werr
			}
		}
		if atEnd(err) {
			break
		}
		if err != nil {
			return err
		}
	}
	last, err := appendFields(append(buf[:0], "0\r\n"...), &q.Trailers)
	if err != nil {
		return fmt.Errorf("%w: trailers: %w", errRead, err)
	}
	return write(c, append(last, "\r\n"...))
}

// readPart reads from the client. Errors but io.EOF are marked with errRead.
func readPart(c *conn, body io.Reader, p []byte) (int, error) {
	c.send.set(asking)
	n, err := body.Read(p)
	if err != nil && !atEnd(err) {
		err = fmt.Errorf("%w: %w", errRead, err)
	}
	return n, err
}

// atEnd tells whether err is the true end of a body, which a wrapped io.EOF is not.
func atEnd(err error) bool {
	return err == io.EOF
}

func write(c *conn, p []byte) error {
	c.send.set(writing)
	_, err := c.nc.Write(p)
	return err
}
