package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestSockMovesMuch sends more than the kernel holds, so that both sides must wait.
func TestSockMovesMuch(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	in, out := NewSock(client), NewSock(server)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	done := make(chan error, 1)
	go func() {
		n, err := out.Write(content)
		if n != len(content) && err == nil {
			err = io.ErrShortWrite
		}
		if e := out.CloseWrite(); err == nil {
			err = e
		}
		done <- err
	}()
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes of %d, error %v", len(got), len(content), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if b, n, err := in.ReadPooled(); b != nil || n != 0 || err != io.EOF {
		t.Errorf("behind the end, pooled: %v, %d, %v", b, n, err)
	}
}

func TestSockReadPooled(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	pipeIn, pipeOut := net.Pipe()
	for name, tt := range map[string]struct {
		from, to net.Conn
		first    string // what comes with the buffer
	}{
		"socket":    {client, server, "hello"},
		"no socket": {pipeOut, pipeIn, "h"}, // the buffer is taken for the first byte
	} {
		s := NewSock(tt.to)
		go func() { _, _ = NewSock(tt.from).Write([]byte("hello")) }()
		b, n, err := s.ReadPooled()
		if err != nil || len(b) != Small || string(b[:n]) != tt.first {
			t.Fatalf("%s: %d bytes %q, error %v", name, len(b), b[:n], err)
		}
		if rest := 5 - n; rest > 0 {
			if _, err := io.ReadFull(s, b[n:5]); err != nil || string(b[:5]) != "hello" {
				t.Errorf("%s: then %q, %v", name, b[:5], err)
			}
		}
		Put(b)
	}
}

// TestSockErrors compares with what package net says in the same place.
func TestSockErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(ours, theirs *net.TCPConn)
		want    error
	}{
		"deadline": {func(ours, _ *net.TCPConn) { _ = ours.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"closed":   {func(ours, _ *net.TCPConn) { _ = ours.Close() }, net.ErrClosed},
		"reset": {func(ours, theirs *net.TCPConn) {
			_ = theirs.SetLinger(0)
			_ = theirs.Close()
			var w Watch
			for w.Reset(ours); !w.Gone(); {
				time.Sleep(time.Millisecond)
			}
		}, syscall.ECONNRESET},
	} {
		theirs, ours := pair(t)
		tt.prepare(ours, theirs)
		s := NewSock(ours)
		_, err := s.Read(make([]byte, 1))
		var op *net.OpError
		if !errors.Is(err, tt.want) || !errors.As(err, &op) || op.Op != "read" {
			t.Errorf("%s: Read: %v", name, err)
		}
		if _, err = s.Write([]byte("x")); err == nil || !errors.As(err, &op) || op.Op != "write" {
			t.Errorf("%s: Write: %v", name, err)
		}
		if name == "reset" {
			continue
		}
		if _, _, err = s.ReadPooled(); !errors.Is(err, tt.want) {
			t.Errorf("%s: ReadPooled: %v", name, err)
		}
	}
}

// TestSockInterrupted ends reads and writes that wait.
func TestSockInterrupted(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*net.TCPConn){
		"closed":   func(c *net.TCPConn) { _ = c.Close() },
		"deadline": func(c *net.TCPConn) { _ = c.SetDeadline(time.Unix(1, 0)) },
	} {
		theirs, ours := pair(t)
		s := NewSock(ours)
		ended := make(chan error, 2)
		go func() {
			_, err := s.Read(make([]byte, 1))
			ended <- err
		}()
		go func() {
			n, err := s.Write(make([]byte, 64<<20)) // nobody reads it
			if n == 0 {
				t.Errorf("%s: nothing was written", name)
			}
			ended <- err
		}()
		if _, err := io.ReadFull(theirs, make([]byte, 64<<10)); err != nil { // the write is under way
			t.Fatal(err)
		}
		end(ours)
		for range 2 {
			if err := <-ended; err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	}
}

func TestSockAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	client, server := pair(t)
	a, b := NewSock(client), NewSock(server)
	buf := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = a.Write(buf)
		_, _ = b.Read(buf)
		_, _ = b.Write(buf)
		p, _, _ := a.ReadPooled()
		Put(p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSockNoWait(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	s := NewSock(server)
	buf := make([]byte, 8)
	if !s.NoWait(true) {
		t.Fatal("a socket cannot do without waiting")
	}
	n, err := s.Read(buf)
	var timeout net.Error
	if n != 0 || !errors.Is(err, ErrNothing) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("nothing there: %d, %v", n, err)
	}
	s.NoWait(false)
	go func() { _, _ = client.Write([]byte("hello")) }()
	if n, err = s.Read(buf); string(buf[:n]) != "hello" || err != nil {
		t.Errorf("after that: %q, %v", buf[:n], err)
	}
	a, _ := net.Pipe()
	if NewSock(a).NoWait(true) {
		t.Error("a pipe can")
	}
}
