package exchange

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// call has an http.Handler answer an exchange and finishes it.
func call(t *testing.T, h http.HandlerFunc, fill func(ex *Exchange)) (status int, length int64, fields, body, trailers string, err error) {
	t.Helper()
	ex := Get()
	defer Put(ex)
	q := &ex.Request
	q.Method, q.Authority, q.Path = []byte("GET"), []byte("a.example"), []byte("/x%20y")
	ex.Conn = &Conn{Remote: netip.MustParseAddrPort("192.0.2.1:5"), Local: netip.MustParseAddrPort("192.0.2.2:80"), Protocol: HTTP11}
	if fill != nil {
		fill(ex)
	}
	ToHTTP(h).Serve(ex)
	p := &ex.Response
	for n, v := range p.Fields.All() {
		fields += string(n) + ": " + string(v) + "\n"
	}
	if p.Body != nil {
		var b []byte
		b, err = io.ReadAll(p.Body)
		body = string(b)
	}
	for n, v := range p.Trailers.All() {
		trailers += string(n) + ": " + string(v) + "\n"
	}
	status, length = p.Status, p.Length
	ex.Finish(int64(len(body)), err)
	return status, length, fields, body, trailers, err
}

func TestToHTTPRequest(t *testing.T) {
	t.Parallel()
	_, _, _, _, _, err := call(t, func(_ http.ResponseWriter, r *http.Request) {
		got := fmt.Sprintf("%s %s %s %s %q %q %v %v %v", r.Method, r.Host, r.URL, r.RequestURI, r.URL.Path, r.RemoteAddr, r.Header, r.Proto, r.Context().Value(http.LocalAddrContextKey))
		want := `POST a.example /x%20y?q=1 /x%20y?q=1 "/x y" "192.0.2.1:5" map[Te:[trailers] X-One:[1 2]] HTTP/1.1 192.0.2.2:80`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		b, err := io.ReadAll(r.Body)
		if string(b) != "hello" || err != nil || r.Trailer.Get("X-Sum") != "42" || r.ContentLength != -1 {
			t.Errorf("body %q, %v, trailer %v, length %d", b, err, r.Trailer, r.ContentLength)
		}
	}, func(ex *Exchange) {
		q := &ex.Request
		q.Method, q.Query, q.HasQuery, q.TETrailers = []byte("POST"), []byte("q=1"), true, true
		q.Fields.AddString("x-one", "1")
		q.Fields.AddString("X-One", "2")
		q.Body, q.Length = &slowBody{parts: []string{"hello"}, trailers: &q.Trailers}, LengthUnknown
	})
	if err != nil {
		t.Error(err)
	}
}

func TestToHTTPResponse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 1000)
	for _, c := range []struct {
		name                   string
		method                 string
		handler                http.HandlerFunc
		status                 int
		length                 int64
		fields, body, trailers string
	}{
		{
			name: "nothing", handler: func(http.ResponseWriter, *http.Request) {},
			status: 200,
		},
		{
			name:    "short, type guessed as net/http does",
			handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
			status:  200, length: 6, body: "<html>", fields: "Content-Type: text/html; charset=utf-8\n",
		},
		{
			name: "long, in pieces",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "x/y")
				w.WriteHeader(http.StatusCreated)
				w.WriteHeader(http.StatusInternalServerError) // too late
				w.Header().Set("X-Late", "no")                // too late
				for i := 0; i < len(long); i += 1000 {
					_, _ = io.WriteString(w, long[i:i+1000])
				}
			},
			status: 201, length: LengthUnknown, body: long, fields: "Content-Type: x/y\n",
		},
		{
			name: "long, of known length",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "x/y")
				w.Header().Set("Content-Length", fmt.Sprint(len(long)))
				_, _ = io.WriteString(w, long)
			},
			status: 200, length: int64(len(long)), body: long, fields: "Content-Type: x/y\n",
		},
		{
			name: "flushed", handler: func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				_, _ = io.WriteString(w, "late")
			},
			status: 200, length: LengthUnknown, body: "late",
		},
		{
			name: "trailers, declared and not", handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Declared")
				w.Header().Set("Content-Type", "x/y")
				_, _ = io.WriteString(w, "b")
				w.Header().Set("X-Declared", "1")
				w.Header().Set(http.TrailerPrefix+"X-Undeclared", "2")
			},
			status: 200, length: LengthUnknown, body: "b", fields: "Content-Type: x/y\n", trailers: "X-Declared: 1\nX-Undeclared: 2\n",
		},
		{
			name: "HEAD", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "x/y")
				_, _ = io.WriteString(w, "abc")
			},
			status: 200, length: 3, fields: "Content-Type: x/y\n",
		},
		{
			name: "HEAD of something long", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "x/y")
				for range 10 {
					_, _ = io.WriteString(w, long)
				}
			},
			status: 200, length: LengthUnknown, fields: "Content-Type: x/y\n",
		},
		{
			name: "no fields of the connection", handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Connection", "close, X-Hop")
				w.Header().Set("X-Hop", "1")
				w.Header().Set("Transfer-Encoding", "identity")
				w.WriteHeader(http.StatusNoContent)
			},
			status: 204,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, length, fields, body, trailers, err := call(t, c.handler, func(ex *Exchange) {
				if c.method != "" {
					ex.Request.Method = []byte(c.method)
				}
			})
			if len(trailers) > 0 && strings.HasPrefix(trailers, "X-Und") { // a map has no order
				parts := strings.SplitAfter(trailers, "\n")
				trailers = parts[1] + parts[0]
			}
			if status != c.status || length != c.length || fields != c.fields || body != c.body || trailers != c.trailers || err != nil {
				t.Errorf("got %d, length %d, fields %q, %d bytes %.20q, trailers %q, %v", status, length, fields, len(body), body, trailers, err)
			}
		})
	}
}

func TestToHTTPPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		var p *PanicError
		if err, _ := recover().(error); !errors.As(err, &p) || p.Value != "oops" || !strings.Contains(string(p.Stack), "TestToHTTPPanics") {
			t.Errorf("Serve panicked with %v", err)
		}
	}()
	_, _, _, _, _, _ = call(t, func(http.ResponseWriter, *http.Request) { panic("oops") }, nil)
}

func TestToHTTPPanicsLate(t *testing.T) {
	t.Parallel()
	var cause error
	_, _, _, body, _, err := call(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "part")
		panic("oops")
	}, func(ex *Exchange) { ex.OnDone(doneFunc(func(ex *Exchange) { cause = ex.Canceled() })) })
	if body != "part" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("body %q, %v; want one that is cut off", body, err)
	}
	if p := (*PanicError)(nil); !errors.As(cause, &p) {
		t.Errorf("cancelled by %v", cause)
	}
}

type doneFunc func(ex *Exchange)

func (f doneFunc) Done(ex *Exchange, _ int64, _ error) { f(ex) }

// A handler that waits, in whatever way, must come to its end with the exchange.
func TestToHTTPHandlerEnds(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(w http.ResponseWriter, r *http.Request){
		"for the context":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"for its reader":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, zeros{}) },
		"for more to read": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ex := Get()
			in, _ := io.Pipe()
			ex.Request.Path, ex.Request.Body, ex.Request.Length = []byte("/"), in, LengthUnknown
			ended := make(chan struct{})
			ToHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				w.(http.Flusher).Flush()
				wait(w, r)
			})).Serve(ex)
			go ex.Finish(0, ErrClientGone)
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Error("the handler goes on")
			}
		})
	}
}

func TestToHTTPInform(t *testing.T) {
	t.Parallel()
	f := &informed{}
	_, _, _, _, _, _ = call(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
	}, func(ex *Exchange) { ex.Front = f })
	if f.got != "103 </a>" {
		t.Errorf("informed of %q", f.got)
	}
}

type informed struct{ got string }

func (f *informed) Inform(_ *Exchange, status int, fields *Fields) {
	f.got = fmt.Sprint(status, " ", string(fields.Get("link")))
}

func TestToHTTPBadPath(t *testing.T) {
	t.Parallel()
	status, _, _, _, _, _ := call(t, func(http.ResponseWriter, *http.Request) { t.Error("called") },
		func(ex *Exchange) { ex.Request.Path = []byte("no slash %zz") })
	if status != 400 {
		t.Errorf("status %d", status)
	}
}

// Both adapters together let a middleware of net/http work on exchanges.
func TestThroughBothAdapters(t *testing.T) {
	t.Parallel()
	inner := HandlerFunc(func(ex *Exchange) {
		ex.Response = Response{Status: 200, Length: 2, Body: BytesBody([]byte("ok"))}
		ex.Response.Fields.AddString("Content-Type", "x/y")
	})
	status, _, fields, body, _, err := call(t, FromHTTP(inner, 0).ServeHTTP, nil)
	if status != 200 || body != "ok" || err != nil || fields != "Content-Type: x/y\n" {
		t.Errorf("got %d %q %q %v", status, fields, body, err)
	}
}
