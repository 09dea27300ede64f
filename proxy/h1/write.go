package h1

import (
	"net/http"
	"strconv"

	"portway/proxy/exchange"
)

// responseEnd is what the head of a response says about its end and about the
// connection.
type responseEnd struct {
	Length    int64 // Content-Length; negative: none
	Chunked   bool
	Close     bool   // Connection: close
	KeepAlive bool   // Connection: keep-alive, for HTTP/1.0 clients
	Upgrade   []byte // of a 101: Connection: Upgrade and this protocol
}

// appendResponseHead appends a response head, interim ones too. What other parties
// could take for the end of a line, or for framing, is never written: a field with
// a control character in it, or with one of the connection's names, which no parser
// of ours lets pass, is left out.
func appendResponseHead(dst []byte, status int, fields *exchange.Fields, end responseEnd) []byte {
	dst = appendStatusLine(dst, status)
	if fields != nil {
		dst = appendFields(dst, fields)
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

// appendFields appends field lines without the empty line behind them.
func appendFields(dst []byte, fields *exchange.Fields) []byte {
	list := fields.List()
	for i := range list {
		f := &list[i]
		if l := f.Line(); l != nil {
			dst = append(dst, l.Text()...)
			continue
		}
		if !ValidName(f.Name) || !ValidValue(f.Value) || exchange.OfConnection(f.Name) {
			continue
		}
		dst = append(dst, f.Name...)
		dst = append(dst, ':', ' ')
		dst = append(dst, f.Value...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// appendChunkSize appends the line in front of a chunk of n > 0 bytes, which
// appendChunkEnd follows.
func appendChunkSize(dst []byte, n int) []byte {
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, '\r', '\n')
}

// appendChunkEnd appends what stands behind a chunk.
func appendChunkEnd(dst []byte) []byte { return append(dst, '\r', '\n') }

// appendLastChunk appends the end of a chunked message, with trailers where they
// are allowed (nil: none).
func appendLastChunk(dst []byte, trailers *exchange.Fields) []byte {
	dst = append(dst, '0', '\r', '\n')
	if trailers != nil && trailers.Len() > 0 {
		trailers.OnlyTrailers()
		dst = appendFields(dst, trailers)
	}
	return append(dst, '\r', '\n')
}
