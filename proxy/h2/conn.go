package h2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2/hpack"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// conn is one connection of a client.
type conn struct {
	srv      *Server
	nc       net.Conn
	cork     *wire.Cork // nil if there is none
	info     *exchange.Conn
	limits   Limits
	timeouts Timeouts

	// The reader's own.
	input    input
	prefaced bool // the client's preface is here
	greeted  bool // and its first SETTINGS
	decoder  *hpack.Decoder
	block    block
	data     dataFrame
	fresh    []*stream // requests whose handler is not started yet
	abuse    abuse

	headSince  atomic.Int64 // coarse time since when a header block, or the greeting, is incomplete; 0: none is
	lastRead   atomic.Int64 // coarse time
	writeSince atomic.Int64 // coarse time since when a write is under way; 0: none is
	earned     atomic.Int64 // what useful traffic allows the client; see abuse

	mu         sync.Mutex
	streams    map[uint32]*stream
	last       uint32 // highest stream that the client opened
	handlers   int    // running, also for streams that were reset
	tasks      int    // goroutines working for the connection, besides the reader
	idle       chan struct{}
	ended      bool
	err        error // why nothing can be sent any more
	closed     closedStreams
	drain      drainState
	drainSince int64
	idleSince  int64
	pingSince  int64 // coarse time of a ping that is not answered; 0: none

	out        *outBuffer
	flushing   bool
	severed    bool          // a write failed
	flushed    chan struct{} // closed when flushing is over, if somebody waits for that
	encoder    encoder
	sendWindow int
	peerWindow int         // initial window of streams
	heads      streamQueue // senders that wait for room in the buffer
	contents   streamQueue // senders that wait for room, the connection's window, or their turn
	turn       *stream     // the sender that was let go on and has not yet run

	recvWindow int // what the client may still send on all streams
	unclaimed  int // read, and not yet given back as window
}

type drainState uint8

const (
	drainNone      drainState = iota
	drainAnnounced            // GOAWAY sent; streams in flight towards us are still taken
	drainFinal                // GOAWAY with the last stream sent
)

func newConn(s *Server, nc net.Conn, info *exchange.Conn) *conn {
	c := &conn{
		srv: s, nc: nc, cork: wire.CorkOf(nc), info: info,
		limits: s.Limits.withDefaults(), timeouts: s.Timeouts.withDefaults(),
		streams:    make(map[uint32]*stream),
		sendWindow: defaultWindow, peerWindow: defaultWindow,
	}
	c.abuse.seen = time.Now()
	c.recvWindow = c.limits.ConnWindow
	c.encoder.init()
	c.decoder = hpack.NewDecoder(peerTable, c.onField)
	c.decoder.SetMaxStringLength(2 * c.limits.HeadBytes) // beyond HeadBytes there is an answer still
	return c
}

// start sets the coarse times; from then on the sweeper may look at c.
func (c *conn) start(now int64) {
	c.lastRead.Store(now)
	c.headSince.Store(now)
	c.idleSince = now
}

// serve runs the connection from the greeting to the end.
func (c *conn) serve() {
	var err error
	func() {
		defer func() {
			if v := recover(); v != nil {
				c.log(slog.LevelError, "panic while reading HTTP/2 frames", "panic", v, "stack", string(debug.Stack()))
				err = &connError{codeInternal, "internal error"}
			}
		}()
		c.greet()
		err = c.read()
	}()
	c.end(err)
}

// greet sends our SETTINGS and opens the connection's window.
func (c *conn) greet() {
	c.mu.Lock()
	b := c.queue()
	b.b = appendSettings(b.b,
		setting{settingMaxConcurrentStreams, uint32(c.limits.Streams)},
		setting{settingInitialWindowSize, uint32(c.limits.StreamWindow)},
		setting{settingMaxHeaderListSize, uint32(c.limits.HeadBytes)},
		setting{settingEnableConnectProtocol, 1},
	)
	if more := c.limits.ConnWindow - defaultWindow; more > 0 {
		b.b = appendWindowUpdate(b.b, 0, more)
	}
	flush := c.claim()
	c.mu.Unlock()
	if flush {
		c.flush(false)
	}
}

// read takes frames until the connection is over.
func (c *conn) read() error {
	need := len(preface)
	for {
		if err := c.input.fill(c.nc, need); err != nil {
			return err
		}
		c.lastRead.Store(c.srv.now())
		var err error
		if need, err = c.consume(); err != nil {
			return err
		}
		c.afterBatch()
	}
}

// consume works on what is at hand and returns how much more must be, at least,
// to go on.
func (c *conn) consume() (need int, err error) {
	if !c.prefaced {
		b := c.input.bytes()
		if n := min(len(b), len(preface)); string(b[:n]) != preface[:n] {
			return 0, &connError{codeProtocol, "no HTTP/2 preface"}
		} else if n < len(preface) {
			return len(preface), nil
		}
		c.input.skip(len(preface))
		c.prefaced = true
	}
	for {
		b := c.input.bytes()
		if c.data.left() > 0 {
			if len(b) == 0 {
				return 1, nil
			}
			c.input.skip(c.takeData(b))
			continue
		}
		if len(b) < headerLen {
			return headerLen, nil
		}
		h := parseFrameHeader(b)
		if err := c.checkFrame(h); err != nil {
			return 0, err
		}
		if h.typ == frameData {
			n, err := c.beginData(h, b)
			if err != nil {
				return 0, err
			}
			if n > len(b) {
				return n, nil
			}
			c.input.skip(n)
			continue
		}
		if len(b) < headerLen+h.length {
			return headerLen + h.length, nil
		}
		if err := c.frame(h, b[headerLen:headerLen+h.length]); err != nil {
			return 0, err
		}
		c.input.skip(headerLen + h.length)
	}
}

// afterBatch starts the handlers of new requests, and sees to it that frames
// which the reader queued are written; by somebody else, since a reader that
// blocks in a write would not see the window that the write waits for.
func (c *conn) afterBatch() {
	switch {
	case c.block.active:
		if c.headSince.Load() == 0 {
			c.headSince.Store(c.srv.now())
		}
	case c.greeted:
		c.headSince.Store(0)
	}
	c.mu.Lock()
	keep := c.fresh[:0]
	for _, s := range c.fresh {
		if s.err == nil {
			keep = append(keep, s)
			c.handlers++
			c.tasks++
		} else {
			s.release() // reset before it began
		}
	}
	flush := c.claim()
	if flush {
		c.tasks++
	}
	c.mu.Unlock()
	if len(keep) > 0 {
		now := time.Now()
		for _, s := range keep {
			s.launch(now)
		}
	}
	clear(c.fresh)
	c.fresh = c.fresh[:0]
	if flush {
		c.srv.workers.do((*flusher)(c))
	}
}

// errQuit is the end of a connection that was drained.
var errQuit = errors.New("drained")

// end tells the client why the connection ends, stops all streams, and waits for
// everybody who works for them.
func (c *conn) end(err error) {
	c.mu.Lock()
	var ce *connError
	polite := errors.As(err, &ce)
	switch {
	case polite:
		b := c.queue()
		b.b = appendGoAway(b.b, c.last, ce.code, ce.reason)
	case c.err == nil && c.drain == drainFinal && len(c.streams) == 0:
		polite, err = true, errQuit
	}
	if c.err == nil {
		c.err = exchange.ErrClientGone
		if polite {
			c.err = err
		}
	}
	cause := exchange.ErrClientGone
	if ce != nil {
		cause = fmt.Errorf("%w: %w", exchange.ErrClientGone, ce)
	}
	gone := make([]*stream, 0, len(c.streams))
	for id, s := range c.streams {
		delete(c.streams, id)
		s.err = cause
		c.signal(s)
		gone = append(gone, s)
	}
	for _, s := range c.fresh {
		s.release()
	}
	c.fresh = nil
	if polite {
		_ = c.nc.SetWriteDeadline(time.Now().Add(lingerTime))
	}
	flush := polite && c.claim()
	c.mu.Unlock()
	c.block.abandon()
	if c.data.s != nil {
		c.data.s.release()
	}
	for _, s := range gone {
		s.cancel(cause)
		s.release()
	}
	if flush {
		c.flush(false)
	}
	if polite {
		if c.awaitFlush() {
			c.linger()
		}
	}
	_ = c.nc.Close()
	c.input.release()
	c.awaitTasks()
	c.log(slog.LevelDebug, "HTTP/2 connection ended", "reason", err)
}

// lingerTime is how long a client may take to read our last words. Closing at
// once, with something of the client's unread, would make the kernel destroy them.
const lingerTime = time.Second

func (c *conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() != nil {
			return
		}
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, struct{ io.Reader }{c.nc})
}

// awaitFlush waits until somebody else has written what was queued, and tells
// whether that could be written.
func (c *conn) awaitFlush() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flushing {
		flushed := make(chan struct{})
		c.flushed = flushed
		c.mu.Unlock()
		<-flushed
		c.mu.Lock()
	}
	return !c.severed
}

// awaitTasks waits until nobody works for the connection.
func (c *conn) awaitTasks() {
	c.mu.Lock()
	c.ended = true
	if c.tasks > 0 {
		idle := make(chan struct{})
		c.idle = idle
		c.mu.Unlock()
		<-idle
		c.mu.Lock()
	}
	if c.out != nil {
		c.out.free()
		c.out = nil
	}
	c.mu.Unlock()
}

// do runs t on a goroutine of its own, unless the connection is over. t must
// call taskDone at its end. c.mu is not held.
func (c *conn) do(t task) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.tasks++
	c.mu.Unlock()
	c.srv.workers.do(t)
}

// taskDone ends a task; c.mu is held.
func (c *conn) taskDone() {
	if c.tasks--; c.tasks == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// abort cuts the connection off, at once and without a goodbye.
func (c *conn) abort() { _ = wire.Socket(c.nc).Close() }

func (c *conn) log(level slog.Level, msg string, args ...any) {
	if l := c.srv.Logger; l != nil && l.Enabled(context.Background(), level) {
		l.Log(context.Background(), level, msg, append(args, "client", c.info.Remote)...)
	}
}
