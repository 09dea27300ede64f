package middleware

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"portway/proxy/exchange"
)

// pieces is a body that yields what is sent to it, piece by piece. tells says whether it
// offers exchange.Buffered.
type pieces struct {
	ch     chan string
	rest   string
	once   sync.Once
	closed chan struct{}
	end    error
}

func newPieces() *pieces {
	return &pieces{ch: make(chan string), closed: make(chan struct{}), end: io.EOF}
}

func (b *pieces) Read(p []byte) (int, error) {
	if b.rest == "" {
		var ok bool
		select {
		case b.rest, ok = <-b.ch:
			if !ok {
				return 0, b.end
			}
		case <-b.closed:
			return 0, errors.New("closed")
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *pieces) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// telling is pieces that tell what is at hand.
type telling struct{ *pieces }

func (b telling) Buffered() int { return len(b.rest) }

// decoder decodes a stream as it comes.
func decoder(t *testing.T, c coding, r io.Reader) io.Reader {
	t.Helper()
	switch c {
	case gzipCoding:
		d, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return d
	case brotliCoding:
		return brotli.NewReader(r)
	}
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// What an application has sent reaches the client before the application sends more,
// also if it comes in one piece with what was read before.
func TestStreamsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	for c := range codings {
		for _, tells := range []bool{false, true} {
			t.Run(fmt.Sprint(codingNames[c], tells), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					src := newPieces()
					var body exchange.Body = src
					if tells {
						body = telling{src}
					}
					b := newEncodedBody(body, c, exchange.LengthUnknown)
					got := make(chan string, 100)
					go func() {
						defer close(got)
						d := decoder(t, c, b)
						buf := make([]byte, 100<<10)
						for {
							n, err := d.Read(buf)
							got <- string(buf[:n])
							if err != nil {
								if err != io.EOF {
									t.Error(err)
								}
								return
							}
						}
					}()
					for _, sent := range []string{"data: one\n\n", "data: two\n\n", strings.Repeat("x", len(encoder{}.in)), strings.Repeat("y", 50000), "z"} {
						src.ch <- sent
						synctest.Wait() // everybody waits for more
						arrived := ""
						for len(got) > 0 {
							arrived += <-got
						}
						if arrived != sent {
							t.Fatalf("%d bytes were sent, and %d had arrived before more was", len(sent), len(arrived))
						}
					}
					close(src.ch)
					for rest := range got {
						if rest != "" {
							t.Errorf("%q came at the end", rest)
						}
					}
					_ = b.Close()
				})
			})
		}
	}
}

// Whatever sizes are read and written, the content is the same in the end.
func TestEncodedContentIsTheSame(t *testing.T) {
	t.Parallel()
	var text []byte
	for r := rand.New(rand.NewPCG(1, 2)); len(text) < 300<<10; {
		text = fmt.Appendf(text, "word%d and ", r.IntN(1000))
	}
	for c := range codings {
		t.Run(codingNames[c], func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, uint64(c)))
			for _, size := range []int{0, 1, 100, 16 << 10, 16<<10 + 1, len(text)} {
				for _, known := range []bool{true, false} {
					length := int64(size)
					if !known {
						length = exchange.LengthUnknown
					}
					src := body{iotest.DataErrReader(bytes.NewReader(text[:size]))}
					b := newEncodedBody(src, c, length)
					var out bytes.Buffer
					for {
						p := make([]byte, r.IntN(20<<10))
						n, err := b.Read(p)
						out.Write(p[:n])
						if err == io.EOF {
							break
						} else if err != nil {
							t.Fatal(err)
						}
					}
					if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("after the end: %d %v", n, err)
					}
					_ = b.Close()
					if got := decode(t, codingNames[c], out.Bytes()); got != string(text[:size]) {
						t.Errorf("%d bytes became %d", size, len(got))
					}
					if size == len(text) && known && out.Len() > size*2/3 {
						t.Errorf("%d bytes are %d when compressed", size, out.Len())
					}
				}
			}
		})
	}
}

// body is any reader as a body.
type body struct{ io.Reader }

func (body) Close() error { return nil }

// Content that was cut off must not look complete, and what came before that arrives.
func TestBrokenContentStaysBroken(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken off")
	for c := range codings {
		for _, length := range []int64{exchange.LengthUnknown, 1000} {
			src := body{io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(broken))}
			b := newEncodedBody(src, c, length)
			out, err := io.ReadAll(b)
			if !errors.Is(err, broken) {
				t.Errorf("%s: %v", codingNames[c], err)
			}
			got, err := io.ReadAll(decoder(t, c, bytes.NewReader(out)))
			if string(got) != "hello" || err == nil {
				t.Errorf("%s of length %d: %q %v", codingNames[c], length, got, err)
			}
			_ = b.Close()
		}
	}
}

// Close ends a Read that waits, at any time and more than once, and the encoder goes
// back exactly once.
func TestEncodedBodyClose(t *testing.T) {
	t.Parallel()
	for c := range codings {
		src := newPieces()
		b := newEncodedBody(src, c, exchange.LengthUnknown)
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if _, err := b.Read(make([]byte, 100)); err != nil {
					if err == io.EOF {
						t.Error("looks complete")
					}
					return
				}
				b.Buffered()
			}
		})
		src.ch <- "hello"
		for range 3 {
			wg.Go(func() { _ = b.Close() })
		}
		wg.Wait()
		if n, err := b.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("after Close: %d %v", n, err)
		}
		if b.encoder != nil {
			t.Error("the encoder was not given back")
		}
	}
}

// Buffered says yes only if the next Read need not wait: fronts send the head alone
// otherwise.
func TestEncodedBodyBuffered(t *testing.T) {
	t.Parallel()
	const text = "hello hello hello"
	atHand := func(length int64, atHand int) int {
		src := telling{newPieces()}
		src.rest = text[:atHand]
		b := newEncodedBody(src, gzipCoding, length)
		defer func() { _ = b.Close() }()
		return b.Buffered()
	}
	for _, tt := range []struct {
		length int64
		atHand int
		want   bool
	}{
		{int64(len(text)), len(text), true},
		{int64(len(text)), len(text) - 1, false}, // gzip may keep it until it sees the end
		{exchange.LengthUnknown, 5, true},        // flushed
		{exchange.LengthUnknown, 0, false},
	} {
		if got := atHand(tt.length, tt.atHand) > 0; got != tt.want {
			t.Errorf("%d of %d bytes at hand: %v", tt.atHand, tt.length, got)
		}
	}
	src := newPieces()
	b := newEncodedBody(src, gzipCoding, exchange.LengthUnknown)
	go func() { src.ch <- text }()
	if _, err := b.Read(make([]byte, 1)); err != nil || b.Buffered() == 0 {
		t.Errorf("after a short Read there is more, but Buffered says %d, %v", b.Buffered(), err)
	}
	_ = b.Close()
	if b.Buffered() != 0 {
		t.Error("after Close there is something at hand")
	}
}

// A source that yields nothing is for the caller to give up on.
func TestEncodedBodyOfNothing(t *testing.T) {
	t.Parallel()
	b := newEncodedBody(body{iotest.ErrReader(nil)}, zstdCoding, exchange.LengthUnknown)
	if n, err := b.Read(make([]byte, 10)); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	_ = b.Close()
}
