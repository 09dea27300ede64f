package upstream

import (
	"io"
	"net/http"

	"portway/proxy/exchange"
)

// connect asks for an upgrade by extended CONNECT (RFC 8441), which is what
// HTTP/2 has instead of Upgrade.
func (s *stream2) connect() error {
	q, r := &s.ex.Request, &s.ex.Response
	req := s.request()
	req.Method = http.MethodConnect
	req.Header[":protocol"] = []string{string(q.Upgrade)}
	// The handshake's key has no meaning here: the answer would not prove it.
	key := q.Fields.Get(wsKeyField)
	req.Header.Del(wsKeyField)
	from, to := io.Pipe()
	req.Body, req.ContentLength = from, -1
	resp, err := s.do(req)
	if err != nil {
		_ = from.Close()
		return err
	}
	if resp.StatusCode/100 != 2 {
		// An answer like any other.
		_ = to.Close()
		s.fill(resp, resp.StatusCode)
		r.Body = s
		return nil
	}
	s.fill(resp, http.StatusSwitchingProtocols)
	r.Length = 0
	if key != nil {
		r.Fields.Set(wsAcceptField, []byte(wsAccept(key)))
	}
	r.Tunnel = &tunnel2{stream: s, to: to}
	return nil
}

// tunnel2 is an HTTP/2 stream after an upgrade.
type tunnel2 struct {
	stream *stream2
	to     *io.PipeWriter
}

var _ exchange.Tunnel = (*tunnel2)(nil)

func (t *tunnel2) Read(p []byte) (int, error) { return t.stream.resp.Body.Read(p) }

func (t *tunnel2) Write(p []byte) (int, error) { return t.to.Write(p) }

// CloseWrite ends the stream in our direction.
func (t *tunnel2) CloseWrite() error { return t.to.Close() }

func (t *tunnel2) Close() error {
	_ = t.to.CloseWithError(io.ErrClosedPipe)
	return t.stream.Close()
}
