package h1

import (
	"errors"
	"io"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// tunnel switches protocols and copies both ways until both directions are at
// their end. sent counts bytes to the client.
func (c *conn) tunnel(ex *exchange.Exchange, rh *RequestHead) (sent int64, err error) {
	origin := ex.Response.Tunnel
	defer func() { _ = origin.Close() }()
	if !c.body.reader.ended() {
		return 0, errors.New("protocol switched before the request was read to its end")
	}
	buf := wire.Get(wire.Small)
	err = c.write(appendResponseHead(buf[:0], 101, &ex.Response.Fields, responseEnd{Length: -1, Upgrade: rh.Upgrade}))
	wire.Put(buf)
	if err != nil {
		return 0, c.explain(ex, &writeError{err})
	}
	c.mu.Lock()
	c.origin = origin
	c.mu.Unlock()
	c.recv.set(tunneling)
	early := c.body.reader.Rest()
	up := make(chan error, 1)
	go func() {
		err := c.toOrigin(origin, early)
		if err != nil {
			_ = origin.Close() // ends the other direction
		}
		c.recv.set(done)
		up <- err
	}()
	sent, err = c.toClient(origin)
	if err != nil {
		_ = origin.Close()
		c.wakeReader()
	}
	c.send.set(done)
	if e := <-up; err == nil {
		err = e
	}
	if err != nil {
		err = c.explain(ex, err)
	}
	return sent, err
}

// toOrigin copies what the client sends; early came with the request.
func (c *conn) toOrigin(origin exchange.Tunnel, early []byte) error {
	if len(early) > 0 {
		if _, err := origin.Write(early); err != nil {
			return err
		}
	}
	err := pump(origin.Write, func(p []byte) (int, error) {
		n, err := c.nc.Read(p)
		c.recv.set(tunneling)
		return n, err
	})
	if err != nil {
		return err
	}
	return origin.CloseWrite()
}

// toClient copies what the origin sends.
func (c *conn) toClient(origin exchange.Tunnel) (sent int64, err error) {
	err = pump(func(p []byte) (int, error) {
		if err := c.write(p); err != nil {
			return 0, &writeError{err}
		}
		sent += int64(len(p))
		return len(p), nil
	}, origin.Read)
	if err != nil {
		return sent, err
	}
	if err := c.closeWrite(); err != nil {
		return sent, &writeError{err}
	}
	return sent, nil
}

// pump copies until the end. It waits with a small buffer, since most tunnels are
// silent most of the time, and takes a pooled one while there is more to copy.
func pump(write, read func(p []byte) (int, error)) error {
	var small [512]byte
	buf := small[:]
	defer func() {
		if len(buf) > len(small) {
			wire.Put(buf)
		}
	}()
	for {
		n, err := read(buf)
		if n > 0 {
			if _, err := write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case n == len(buf) && len(buf) < wire.Large:
			if len(buf) > len(small) {
				wire.Put(buf)
			}
			buf = wire.Get(len(buf) * 4)
		case n <= len(small) && len(buf) > len(small):
			wire.Put(buf)
			buf = small[:]
		}
	}
}
