package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

func TestBuffers(t *testing.T) {
	for _, tt := range []struct{ ask, got int }{{0, Small}, {Small, Small}, {Small + 1, Large}, {Large, Large}, {Large + 1, Large + 1}} {
		b := Get(tt.ask)
		if len(b) != tt.got {
			t.Errorf("Get(%d) has %d bytes, want %d", tt.ask, len(b), tt.got)
		}
		Put(b[:1])
	}
	Put(nil)
	if n := testing.AllocsPerRun(100, func() { Put(Get(Small)); Put(Get(Large)) }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for a warm buffer", n)
	}
}

// recorder notes the writes it gets.
type recorder struct {
	net.Conn
	writes []string
	err    error
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func TestCork(t *testing.T) {
	t.Parallel()
	r := new(recorder)
	c := NewCork(r)
	write := func(s string) {
		if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", s, n, err)
		}
	}
	write("at once")
	c.Hold()
	write("a")
	write("b")
	if len(r.writes) != 1 {
		t.Fatalf("written while held: %q", r.writes)
	}
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}
	write("c")
	if want := []string{"at once", "ab", "c"}; !slices.Equal(r.writes, want) {
		t.Errorf("writes %q, want %q", r.writes, want)
	}

	// More than fits goes out in order, in more than one piece.
	r.writes = nil
	c.Hold()
	big := string(make([]byte, corkSize-1))
	write(big)
	write("xy")
	write(big + "zz")
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}
	if want := []string{big, "xy", big + "zz"}; !slices.Equal(r.writes, want) {
		t.Errorf("%d writes, want %d in order", len(r.writes), len(want))
	}

	// An error is told once, by Release at the latest.
	r.err = errors.New("broken")
	c.Hold()
	write("lost")
	if err := c.Release(); err != r.err {
		t.Errorf("Release = %v", err)
	}

	var none *Cork
	none.Hold()
	if err := none.Release(); err != nil {
		t.Error(err)
	}
}

// pair is a TCP connection over loopback.
func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); _ = s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestWatch(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn){
		"closed":                      func(c *net.TCPConn) { _ = c.Close() },
		"half closed":                 func(c *net.TCPConn) { _ = c.CloseWrite() },
		"closed behind unread bytes":  func(c *net.TCPConn) { _, _ = c.Write([]byte("alert")); _ = c.Close() },
		"reset":                       func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		"reset while bytes are ahead": func(c *net.TCPConn) { _, _ = c.Write([]byte("x")); _ = c.SetLinger(0); _ = c.Close() },
	} {
		client, server := pair(t)
		var w Watch
		w.Reset(tls.Server(NewCork(server), &tls.Config{}))
		if w.Gone() {
			t.Errorf("%s: gone before", name)
		}
		leave(client)
		deadline := time.Now().Add(5 * time.Second)
		for !w.Gone() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not noticed", name)
			}
			time.Sleep(time.Millisecond)
		}
		if n := testing.AllocsPerRun(10, func() { w.Gone() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		_ = server.Close()
		if w.Gone() {
			t.Errorf("%s: our own closing is taken for the peer's", name)
		}
	}
	a, b := net.Pipe()
	defer func() { _ = a.Close() }()
	var w Watch
	w.Reset(b)
	_ = b.Close()
	if w.Gone() {
		t.Error("a pipe cannot be watched")
	}
	if _, err := io.Copy(io.Discard, b); err == nil {
		t.Error("the pipe is open")
	}
}
