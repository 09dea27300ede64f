package h1

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"portway/proxy/exchange"
)

// bodyOf reads a body whose first cut bytes came with the head and the rest from
// the connection, in pieces that wrap gives.
func bodyOf(f Framing, message string, cut int, wrap func(io.Reader) io.Reader) (content, rest string, trailers exchange.Fields, err error) {
	space := append(make([]byte, 0, 64), message[:cut]...)
	var b BodyReader
	b.Reset(f, space, wrap(strings.NewReader(message[cut:])), &trailers, Limits{})
	got, err := io.ReadAll(&b)
	return string(got), string(b.Rest()), trailers, err
}

func TestBodyReaderFramings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, message string
		framing       Framing
		content       string
		rest          string // behind the end, if all of it was read with the head
		trailers      string
		err           error
	}{
		{"none", "GET / next", Framing{}, "", "GET / next", "", nil},
		{"fixed", "helloGET", Framing{Kind: FixedLength, Length: 5}, "hello", "GET", "", nil},
		{"fixed, cut off", "hell", Framing{Kind: FixedLength, Length: 5}, "hell", "", "", io.ErrUnexpectedEOF},
		{"until close", "hello", Framing{Kind: UntilClose}, "hello", "", "", nil},
		{"chunked", "5\r\nhello\r\n0\r\n\r\nGET", Framing{Kind: Chunked}, "hello", "GET", "", nil},
		{"chunked, empty", "0\r\n\r\n", Framing{Kind: Chunked}, "", "", "", nil},
		{"chunked, sizes of all kinds", "0a\r\n0123456789\r\nA\r\n0123456789\r\n00001\r\n!\r\n000\r\n\r\n", Framing{Kind: Chunked}, "01234567890123456789!", "", "", nil},
		{"chunked, extensions skipped", "5;a=b;c=\"d;\\\"\";e\r\nhello\r\n0;x\r\n\r\n", Framing{Kind: Chunked}, "hello", "", "", nil},
		{"chunked, trailers", "1\r\nx\r\n0\r\nA: 1\r\nb:2 \r\n\r\nGET", Framing{Kind: Chunked}, "x", "GET", "A=1 b=2", nil},
		{"chunked, trailers that belong into the head are dropped", "0\r\nContent-Length: 9\r\nHOST: evil\r\nX-Forwarded-For: 1\r\nok: 1\r\n\r\n", Framing{Kind: Chunked}, "", "", "ok=1", nil},
		{"chunked, cut off in a chunk", "5\r\nhel", Framing{Kind: Chunked}, "hel", "", "", io.ErrUnexpectedEOF},
		{"chunked, cut off before the last chunk", "5\r\nhello\r\n", Framing{Kind: Chunked}, "hello", "", "", io.ErrUnexpectedEOF},
		{"chunked, cut off in the trailers", "0\r\nA: 1\r\n", Framing{Kind: Chunked}, "", "", "", io.ErrUnexpectedEOF},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole":        func(r io.Reader) io.Reader { return r },
		"byte by byte": iotest.OneByteReader,
		"end at once":  iotest.DataErrReader,
	}
	for _, tt := range tests {
		for how, wrap := range readers {
			for cut := range len(tt.message) + 1 {
				content, rest, trailers, err := bodyOf(tt.framing, tt.message, cut, wrap)
				if content != tt.content || !errors.Is(err, tt.err) {
					t.Errorf("%s, %s, cut at %d: content %q, err %v; want %q, %v", tt.name, how, cut, content, err, tt.content, tt.err)
				}
				if got := show(&trailers); err == nil && got != tt.trailers {
					t.Errorf("%s, %s, cut at %d: trailers %q, want %q", tt.name, how, cut, got, tt.trailers)
				}
				if cut == len(tt.message) && rest != tt.rest && err == nil {
					t.Errorf("%s: rest %q, want %q", tt.name, rest, tt.rest)
				}
			}
		}
	}
}

// show writes fields as "name=value name=value".
func show(f *exchange.Fields) string {
	var b strings.Builder
	for name, value := range f.All() {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.Write(name)
		b.WriteByte('=')
		b.Write(value)
	}
	return b.String()
}

// A small body that came with the head is there at once, and its end with it, so
// that it can be passed on in one write.
func TestBodyReaderBuffered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, message string
		framing       Framing
	}{
		{"fixed", "hello", Framing{Kind: FixedLength, Length: 5}},
		{"chunked", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", Framing{Kind: Chunked}},
	} {
		var b BodyReader
		b.Reset(tt.framing, []byte(tt.message), iotest.ErrReader(errors.New("must not be read")), nil, Limits{})
		if n := b.Buffered(); n != 5 {
			t.Errorf("%s: Buffered() = %d, want 5", tt.name, n)
		}
		p := make([]byte, 100)
		if n, err := b.Read(p); string(p[:n]) != "hello" || err != io.EOF || !b.Done() {
			t.Errorf("%s: Read = %q, %v, done %t", tt.name, p[:n], err, b.Done())
		}
	}
}
