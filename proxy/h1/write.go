package h1

import (
	"net/http"
	"strconv"

	"portway/proxy/exchange"
)

// AppendRequestHead appends the head of req as a client of the origin sends it:
// Content-Length if the length is known, chunked if not; Connection, TE and
// Upgrade by req's members. What other parties could take for the end of a line is
// never written: a field with a control character in it, which no parser of ours
// lets pass, is left out.
func AppendRequestHead(dst []byte, req *exchange.Request) []byte {
	dst = append(dst, req.Method...)
	dst = append(dst, ' ')
	dst = append(dst, req.Path...)
	if req.HasQuery {
		dst = append(dst, '?')
		dst = append(dst, req.Query...)
	}
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, req.Authority...)
	dst = append(dst, '\r', '\n')
	dst = AppendFields(dst, &req.Fields)
	switch {
	case req.Length > 0 || req.Length == 0 && expectsContent(req.Method):
		dst = appendLength(dst, req.Length)
	case req.Length < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case req.Upgrade != nil && req.TETrailers:
		dst = append(dst, "Connection: Upgrade, TE\r\nTE: trailers\r\n"...)
	case req.Upgrade != nil:
		dst = append(dst, "Connection: Upgrade\r\n"...)
	case req.TETrailers:
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	if req.Upgrade != nil {
		dst = append(dst, "Upgrade: "...)
		dst = append(dst, req.Upgrade...)
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '\r', '\n')
}

// expectsContent names methods for which a length of 0 is said (RFC 9110 section 8.6).
func expectsContent(method []byte) bool {
	switch string(method) {
	case "POST", "PUT", "PATCH":
		return true
	}
	return false
}

// ResponseEnd is what the head of a response says about its end and about the
// connection.
type ResponseEnd struct {
	Length    int64 // Content-Length; negative: none
	Chunked   bool
	Close     bool   // Connection: close
	KeepAlive bool   // Connection: keep-alive, for HTTP/1.0 clients
	Upgrade   []byte // of a 101: Connection: Upgrade and this protocol
}

// AppendResponseHead appends a response head, interim ones too. Fields with a
// control character are left out, as in AppendRequestHead.
func AppendResponseHead(dst []byte, status int, fields *exchange.Fields, end ResponseEnd) []byte {
	dst = appendStatusLine(dst, status)
	if fields != nil {
		dst = AppendFields(dst, fields)
	}
	if end.Length >= 0 {
		dst = appendLength(dst, end.Length)
	}
	if end.Chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case end.Upgrade != nil:
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
		dst = append(dst, end.Upgrade...)
		dst = append(dst, '\r', '\n')
	case end.Close:
		dst = append(dst, "Connection: close\r\n"...)
	case end.KeepAlive:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, '\r', '\n')
}

func appendStatusLine(dst []byte, status int) []byte {
	if status == 200 {
		return append(dst, "HTTP/1.1 200 OK\r\n"...)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	return append(dst, '\r', '\n')
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}

// AppendFields appends field lines without the empty line behind them.
func AppendFields(dst []byte, fields *exchange.Fields) []byte {
	for i := range fields.Len() {
		f := fields.At(i)
		if len(f.Name) == 0 || !ValidValue(f.Name) || !ValidValue(f.Value) {
			continue
		}
		dst = append(dst, f.Name...)
		dst = append(dst, ':', ' ')
		dst = append(dst, f.Value...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// AppendChunkSize appends the line in front of a chunk of n > 0 bytes, which
// AppendChunkEnd follows.
func AppendChunkSize(dst []byte, n int) []byte {
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, '\r', '\n')
}

// AppendChunkEnd appends what stands behind a chunk.
func AppendChunkEnd(dst []byte) []byte { return append(dst, '\r', '\n') }

// AppendLastChunk appends the end of a chunked message, with trailers where they
// are allowed (nil: none).
func AppendLastChunk(dst []byte, trailers *exchange.Fields) []byte {
	dst = append(dst, '0', '\r', '\n')
	if trailers != nil && trailers.Len() > 0 {
		trailers.DelFunc(func(name, _ []byte) bool { return !TrailerAllowed(name) })
		dst = AppendFields(dst, trailers)
	}
	return append(dst, '\r', '\n')
}
