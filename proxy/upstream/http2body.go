package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"sync"

	"portway/proxy/exchange"
)

// upload2 is the body of a request as x/net reads it, from a goroutine of its own
// that may live a little longer than the exchange.
type upload2 struct {
	stream *stream2
	req    *http.Request
	body   exchange.Body

	// Held during Read and Close, so that detach can wait for their end.
	reading, closing sync.Mutex

	mu       sync.Mutex
	begun    bool
	detached bool
	err      error // what ended it early
}

var _ io.ReadCloser = (*upload2)(nil)

// Read reads from the client.
func (u *upload2) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	u.mu.Lock()
	u.begun = true
	detached := u.detached
	u.mu.Unlock()
	if detached {
		return 0, errClosed
	}
	send := &u.stream.send
	send.set(asking)
	n, err := u.body.Read(p)
	switch {
	case err == nil:
		send.set(writing)
	case atEnd(err):
		send.set(quiet)
		if terr := u.addTrailers(); terr != nil {
			return n, u.fail(terr)
		}
	default:
		return n, u.fail(fmt.Errorf("%w: %w", errRead, err))
	}
	return n, err
}

// addTrailers hands the trailers over, of which x/net asked at the beginning
// whether there may be some.
func (u *upload2) addTrailers() error {
	if u.req.Trailer == nil {
		return nil
	}
	trailers := &u.stream.ex.Request.Trailers
	if err := validFields(trailers); err != nil {
		return fmt.Errorf("%w: trailers: %w", errRead, err)
	}
	for name, value := range trailers.All() {
		key := textproto.CanonicalMIMEHeaderKey(string(name))
		u.req.Trailer[key] = append(u.req.Trailer[key], string(value))
	}
	return nil
}

func (u *upload2) fail(err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
	}
	return err
}

// Close is x/net giving the body up. It must end a Read that waits for the
// client; a body that was never read stays whole, for another try.
func (u *upload2) Close() error {
	u.closing.Lock()
	defer u.closing.Unlock()
	u.mu.Lock()
	begun := u.begun && !u.detached
	u.detached = true
	u.mu.Unlock()
	if begun && !isReplay(u.body) {
		return u.body.Close()
	}
	return nil
}

// detach cuts x/net off from the exchange, after whose end no body is read. The
// front has closed its body, so no Read waits.
func (u *upload2) detach() {
	u.mu.Lock()
	u.detached = true
	u.mu.Unlock()
	u.closing.Lock()
	defer u.closing.Unlock()
	u.reading.Lock()
	defer u.reading.Unlock()
}

// touched tells whether any of the body may have been taken from the client.
func (u *upload2) touched() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.begun
}

// failure tells why the body could not be read.
func (u *upload2) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func isReplay(b exchange.Body) bool {
	_, ok := b.(*replayed)
	return ok
}

// interim2 passes interim answers on. x/net reports them from the goroutine that
// reads for all streams of the connection, which a slow client must not hold up,
// so that another one talks to the front.
type interim2 struct {
	ex *exchange.Exchange

	mu    sync.Mutex
	count int
	over  bool
	queue chan interimHead
	done  chan struct{}
}

type interimHead struct {
	status int
	header http.Header
}

func (i *interim2) got(status int, header textproto.MIMEHeader) error {
	switch {
	case status == http.StatusSwitchingProtocols:
		return errors.New("status 101, which HTTP/2 has not")
	case status == http.StatusContinue, i.ex.Front == nil:
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return nil
	}
	if i.count++; i.count > maxInterim {
		return fmt.Errorf("more than %d interim answers", maxInterim)
	}
	if i.queue == nil {
		i.queue = make(chan interimHead, maxInterim)
		i.done = make(chan struct{})
		i.ex.Go(i.pass)
	}
	i.queue <- interimHead{status, http.Header(header)} // room for all that are allowed
	return nil
}

func (i *interim2) pass() {
	defer close(i.done)
	for head := range i.queue {
		var fields exchange.Fields
		addHeader(&fields, head.header)
		i.ex.Front.Inform(i.ex, head.status, &fields)
	}
}

// finish waits until all interim answers are with the front.
func (i *interim2) finish() {
	i.mu.Lock()
	i.over = true
	queue := i.queue
	i.mu.Unlock()
	if queue != nil {
		close(queue)
		<-i.done
	}
}
