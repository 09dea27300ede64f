package wstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// HTTP2 is a stream that extended CONNECT opened (RFC 8441), on a connection of
// its own. It gives window only for what Read has taken, so that who does not read
// holds the sender up.
type HTTP2 struct {
	nc net.Conn
	fr *http2.Framer

	wmu sync.Mutex // writes of fr

	mu           sync.Mutex
	changed      *sync.Cond
	in           bytes.Buffer
	err          error // after in; io.EOF at the end of the stream
	head         *http2.MetaHeadersFrame
	window, conn int64 // that the server gives; of the stream, of the connection
	initial      int64
	settings     bool
	dead         bool // the connection
}

const (
	streamID = 1
	ourWin   = 256 << 10
	maxFrame = 16 << 10
)

// DialHTTP2 asks for a WebSocket on nc, which has agreed on h2, with early in the
// same write, and waits for the answer. resp.Body is the stream's content if the
// status is not 200.
func DialHTTP2(nc net.Conn, host, path string, header http.Header, early []byte) (*HTTP2, *http.Response, error) {
	c := &HTTP2{nc: nc, initial: 65535, window: 65535, conn: 65535}
	c.changed = sync.NewCond(&c.mu)
	c.fr = http2.NewFramer(nc, nc)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.SetMaxReadFrameSize(1 << 20)
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		return nil, nil, err
	}
	if err := c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: ourWin}); err != nil {
		return nil, nil, err
	}
	go c.receive()
	if err := c.wait(func() bool { return c.settings }); err != nil { // without their SETTINGS we may not ask
		return nil, nil, err
	}
	if err := c.ask(host, path, header, early); err != nil {
		return nil, nil, err
	}
	if err := c.wait(func() bool { return c.head != nil }); err != nil {
		return nil, nil, err
	}
	resp := &http.Response{Header: http.Header{}, Body: io.NopCloser(c)}
	resp.StatusCode, _ = strconv.Atoi(c.head.PseudoValue("status"))
	for _, f := range c.head.RegularFields() {
		resp.Header.Add(f.Name, f.Value)
	}
	return c, resp, nil
}

// wait waits for ok, or the end of the stream.
func (c *HTTP2) wait(ok func() bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !ok() {
		if c.err != nil {
			return fmt.Errorf("the stream ended: %w", c.err)
		}
		c.changed.Wait()
	}
	return nil
}

// ask sends HEADERS, and early as DATA, in one write.
func (c *HTTP2) ask(host, path string, header http.Header, early []byte) error {
	var block, out bytes.Buffer
	enc := hpack.NewEncoder(&block)
	add := func(name, value string) { _ = enc.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	for _, f := range [][2]string{
		{":method", "CONNECT"},
		{":protocol", "websocket"},
		{":scheme", "https"},
		{":authority", host},
		{":path", path},
		{"sec-websocket-version", "13"},
	} {
		add(f[0], f[1])
	}
	for name, values := range header {
		for _, v := range values {
			add(strings.ToLower(name), v)
		}
	}
	fr := http2.NewFramer(&out, nil)
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: streamID, BlockFragment: block.Bytes(), EndHeaders: true})
	c.mu.Lock()
	c.window -= int64(len(early))
	c.conn -= int64(len(early))
	c.mu.Unlock()
	for part := range slices.Chunk(early, maxFrame) {
		_ = fr.WriteData(streamID, false, part)
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_, err := c.nc.Write(out.Bytes())
	return err
}

// receive reads frames until the connection ends.
func (c *HTTP2) receive() {
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			c.end(err)
			return
		}
		var reply func() error
		c.mu.Lock()
		switch f := f.(type) {
		case *http2.SettingsFrame:
			reply = c.onSettings(f)
		case *http2.PingFrame:
			if data := f.Data; !f.IsAck() {
				reply = func() error { return c.fr.WritePing(true, data) }
			}
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				c.conn += int64(f.Increment)
			} else {
				c.window += int64(f.Increment)
			}
		case *http2.MetaHeadersFrame:
			c.head = f
			c.endStream(f.StreamEnded())
		case *http2.DataFrame:
			c.in.Write(f.Data())
			c.endStream(f.StreamEnded())
		case *http2.RSTStreamFrame:
			c.setErr(http2.StreamError{StreamID: f.StreamID, Code: f.ErrCode})
		}
		c.changed.Broadcast()
		c.mu.Unlock()
		if reply != nil {
			c.wmu.Lock()
			_ = reply() // a broken connection is seen by reading
			c.wmu.Unlock()
		}
	}
}

func (c *HTTP2) onSettings(f *http2.SettingsFrame) func() error {
	if f.IsAck() {
		return nil
	}
	if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
		c.window += int64(v) - c.initial
		c.initial = int64(v)
	}
	if v, _ := f.Value(http2.SettingEnableConnectProtocol); v != 1 {
		c.setErr(errors.New("the server does not announce extended CONNECT"))
	}
	c.settings = true
	return func() error { return c.fr.WriteSettingsAck() }
}

func (c *HTTP2) endStream(ended bool) {
	if ended {
		c.setErr(io.EOF)
	}
}

func (c *HTTP2) setErr(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *HTTP2) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the end of a connection is not that of a stream
	}
	c.setErr(err)
	c.dead = true
	c.changed.Broadcast()
}

func (c *HTTP2) Read(p []byte) (int, error) {
	c.mu.Lock()
	for c.in.Len() == 0 && c.err == nil {
		c.changed.Wait()
	}
	n, _ := c.in.Read(p)
	err := c.err
	c.mu.Unlock()
	if n == 0 {
		return 0, err
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_ = c.fr.WriteWindowUpdate(0, uint32(n))
	if err == nil {
		_ = c.fr.WriteWindowUpdate(streamID, uint32(n))
	}
	return n, nil
}

func (c *HTTP2) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		c.mu.Lock()
		// The other direction's end does not end ours.
		for (c.err == nil || c.err == io.EOF) && !c.dead && min(c.window, c.conn) <= 0 {
			c.changed.Wait()
		}
		if c.dead || c.err != nil && c.err != io.EOF {
			defer c.mu.Unlock()
			return n, c.err
		}
		m := min(int64(len(p)), c.window, c.conn, maxFrame)
		c.window -= m
		c.conn -= m
		c.mu.Unlock()
		c.wmu.Lock()
		err := c.fr.WriteData(streamID, false, p[:m])
		c.wmu.Unlock()
		if err != nil {
			return n, err
		}
		n += int(m)
		p = p[m:]
	}
	return n, nil
}

// CloseWrite ends the stream in our direction.
func (c *HTTP2) CloseWrite() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.fr.WriteData(streamID, true, nil)
}

// Abort resets the stream.
func (c *HTTP2) Abort() {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_ = c.fr.WriteRSTStream(streamID, http2.ErrCodeCancel)
}

// Reset resets the TCP connection below.
func (c *HTTP2) Reset() { reset(c.nc) }

// Close closes the connection.
func (c *HTTP2) Close() error { return c.nc.Close() }
