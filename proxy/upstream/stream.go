package upstream

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/h1"
)

// stream is one exchange over HTTP/1.1 and the body of its answer. It belongs to
// the exchange and not to the connection, which may serve another one while this
// answer is still being read from memory; Done recycles it.
type stream struct {
	pool *Pool
	ex   *exchange.Exchange
	// conn is the connection while it is ours; whoever swaps it out puts it back or
	// kills it.
	conn atomic.Pointer[conn]
	body h1.BodyReader

	safe   bool // the request may be sent twice
	again  bool // after an error: it may be sent again
	inline int  // length of the body that went with the head
	keep   bool // the connection can be used again behind this answer
	ended  bool // the answer was received to its end
	closed atomic.Bool
	onlyUp atomic.Bool // ended, and the connection waits for the request's end
	// parts counts the directions that are not at their end: the answer, and the
	// request while a goroutine sends its body.
	parts  atomic.Int32
	wsKey  [wsKeyLen]byte // Sec-WebSocket-Key of ours, if the client gave none
	hasKey bool
}

var (
	_ exchange.Body     = (*stream)(nil)
	_ exchange.Buffered = (*stream)(nil)
	_ exchange.DoneFunc = (*stream)(nil)
)

var streams = sync.Pool{New: func() any { return new(stream) }}

func newStream(p *Pool, ex *exchange.Exchange) *stream {
	s := streams.Get().(*stream)
	s.pool, s.ex = p, ex
	s.parts.Store(1)
	ex.OnDone(s)
	return s
}

// Done ends what is left of the exchange; nobody uses the stream any more.
func (s *stream) Done(*exchange.Exchange, int64, error) {
	s.drop(errAbandoned)
	s.body.Reset(h1.Framing{}, nil, nothing{}, nil, limits)
	s.pool, s.ex = nil, nil
	s.safe, s.again, s.inline, s.keep, s.ended, s.hasKey = false, false, 0, false, false, false
	s.closed.Store(false)
	s.onlyUp.Store(false)
	streams.Put(s)
}

// Read yields content of the answer. The connection goes back with its last byte.
func (s *stream) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, errClosed
	}
	n, err := s.body.Read(p)
	switch {
	case s.body.Done():
		s.end()
	case err != nil:
		err = s.cutOff(err)
	}
	return n, err
}

// Buffered tells how much content is at hand.
func (s *stream) Buffered() int {
	if s.closed.Load() {
		return 0
	}
	return s.body.Buffered()
}

// Close gives up what was not read, and the connection with it.
func (s *stream) Close() error {
	s.closed.Store(true)
	if s.onlyUp.Load() {
		// Who has answered has most likely read all of the request: upload is just
		// about to notice, and would find a good connection closed.
		for range 20 {
			if s.conn.Load() == nil {
				return nil
			}
			time.Sleep(50 * time.Microsecond)
		}
	}
	s.drop(errAbandoned)
	return nil
}

// end notes that the answer was read to its end.
func (s *stream) end() {
	if !s.ended {
		s.keep = s.keep && len(s.body.Rest()) == 0
		s.finishReceiving()
	}
}

// finishReceiving lets the connection go, which serves again only if the request
// was sent to its end too.
func (s *stream) finishReceiving() {
	s.ended = true
	if !s.keep {
		s.drop(errEnded)
	} else if s.parts.Add(-1) == 0 {
		s.release()
	} else {
		s.onlyUp.Store(true)
	}
}

// release gives the connection back for reuse.
func (s *stream) release() {
	if c := s.conn.Swap(nil); c != nil {
		s.ex.SetAborter(nil)
		s.pool.put(c)
	}
}

// drop closes the connection if it is still ours.
func (s *stream) drop(cause error) {
	if c := s.conn.Swap(nil); c != nil {
		s.pool.kill(c, cause)
	}
}

// cutOff explains why an answer ends too early, and closes the connection.
func (s *stream) cutOff(err error) error {
	var cause error
	if c := s.conn.Load(); c != nil {
		cause = s.pool.causeOf(c)
	}
	s.drop(errEnded)
	var syntax *h1.SyntaxError
	switch {
	case s.closed.Load():
		return errClosed
	case cause != nil:
		return fail(cause.Error(), cause, io.ErrUnexpectedEOF)
	case errors.As(err, &syntax):
		return fail(s.pool.name+" garbled its answer: "+syntax.Reason, ErrProtocol, err, io.ErrUnexpectedEOF)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fail(s.pool.name+" closed the connection in the middle of its answer", io.ErrUnexpectedEOF)
	}
	return fail(s.pool.name+" broke the connection off in the middle of its answer ("+system(err)+")", err, io.ErrUnexpectedEOF)
}

// rewind makes a body that was read ahead readable again, for another try
// elsewhere. It returns err, with which the try here ended.
func (s *stream) rewind(err error) error {
	if n := s.inline; n > 0 {
		head := s.ex.Head
		replay(&s.ex.Request, slices.Clone(head[len(head)-n:]))
	}
	return err
}

// replayed is a request body that was read into memory, with the front's body
// behind it.
type replayed struct {
	content []byte
	at      int
	front   exchange.Body
}

var (
	_ exchange.Body     = (*replayed)(nil)
	_ exchange.Buffered = (*replayed)(nil)
)

// replay puts content, which is all of the request's body, in place of it.
func replay(q *exchange.Request, content []byte) {
	front := q.Body
	if r, ok := front.(*replayed); ok {
		front = r.front
	}
	q.Body = &replayed{content: content, front: front}
}

func (r *replayed) Read(p []byte) (int, error) {
	n := copy(p, r.content[r.at:])
	if r.at += n; r.at == len(r.content) {
		return n, io.EOF
	}
	return n, nil
}

func (r *replayed) Buffered() int { return len(r.content) - r.at }

func (r *replayed) Close() error { return r.front.Close() }
