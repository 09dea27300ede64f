package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"portway/proxy/exchange"
)

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	o := serveOn(t, l, answerAll)
	p := o.pool(t, Config{})
	mustGet(t, p)
	if res := run(p, withBody(newExchange("POST", "/"), "x")); res.body != "ok" {
		t.Errorf("%+v", res)
	}
	if n := o.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := free.Addr().String()
	_ = free.Close()
	never := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	tests := []struct {
		name string
		cfg  Config
		text string
	}{
		{"refused", Config{Network: "tcp", Address: refused, Scheme: "http"}, "connect to " + refused + ": connection refused; does the app listen"},
		{"refused to TLS", Config{Network: "tcp", Address: refused, Scheme: "https"}, "connect to " + refused + ": connection refused"},
		{"refused to h2c", Config{Network: "tcp", Address: refused, Scheme: "h2c"}, "connect to " + refused + ": connection refused"},
		{"too slow", Config{Network: "tcp", Address: "app:80", Scheme: "http", DialTimeout: time.Millisecond, Dial: never}, "connect to app:80: no answer within 1ms; is the app's container on a network"},
		{"no socket", Config{Network: "unix", Address: "/nowhere/app.sock", Scheme: "http"}, "connect to /nowhere/app.sock: no such file or directory; does the app run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := NewPool(tt.cfg)
			defer p.Close()
			ex := withBody(newExchange("POST", "/"), "x")
			err := p.RoundTrip(ex)
			wantErr(t, err, ErrDial, tt.text)
			// The exchange can go to another replica as it is.
			o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
				say(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s", readRequest(r)))
			})
			if res := run(o.pool(t, Config{}), ex); res.body != "POST / x" {
				t.Errorf("another replica got %+v", res)
			}
		})
	}
}

func TestCancelWhileDialing(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https", "h2c"} {
		dialing := make(chan struct{}, 1)
		p := NewPool(Config{Network: "tcp", Address: "app:80", Scheme: scheme, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialing <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		ex := newExchange("GET", "/")
		go func() {
			<-dialing
			ex.Cancel(exchange.ErrClientGone)
		}()
		err := run(p, ex).err
		wantErr(t, err, exchange.ErrClientGone, "given up")
		if errors.Is(err, ErrDial) {
			t.Errorf("%s: %v blames the origin", scheme, err)
		}
		p.Close()
	}
}
