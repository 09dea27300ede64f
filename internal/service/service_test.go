package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleEnv makes the test program a successor.
const roleEnv = "PORTWAY_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		if err := succeed(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// succeed answers one connection on an inherited socket with what it knows.
func succeed(role string) error {
	i, err := Inherit(map[string]string{HandoverEnv: os.Getenv(HandoverEnv)})
	if err != nil {
		return err
	}
	switch role {
	case "dies":
		return errors.New("on purpose")
	case "hangs":
		time.Sleep(time.Hour)
	}
	if len(i.Sockets) != 1 || i.Sockets[0].Name != "http" || !i.Succeeds() {
		return fmt.Errorf("inherited %v", i.Sockets)
	}
	l, err := net.FileListener(i.Sockets[0].File)
	if err != nil {
		return err
	}
	if err := i.Ready(); err != nil || i.Succeeds() {
		return fmt.Errorf("ready: %w", err)
	}
	select {
	case <-i.Released():
		return errors.New("released too early")
	default:
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "alone? ")
	<-i.Released()
	_, _ = fmt.Fprintf(c, "yes; LISTEN_FDS=%q ours=%q", os.Getenv("LISTEN_FDS"), os.Getenv("OURS"))
	return nil
}

func command(t *testing.T, role string) (Command, net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Command{
		Path:    program,
		Environ: append(os.Environ(), roleEnv+"="+role, "LISTEN_FDS=7", "OURS=kept"),
		Sockets: []Socket{{"http", l.(*net.TCPListener)}},
	}, l
}

func TestSuccessor(t *testing.T) {
	t.Parallel()
	cmd, l := command(t, "works")
	s, err := Start(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	// Ours still works: it can be interrupted, which a blocking one could not.
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(-time.Second))
	if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Accept: %v", err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 7)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	s.Release()
	if rest, err := io.ReadAll(c); err != nil || string(b)+string(rest) != `alone? yes; LISTEN_FDS="" ours="kept"` {
		t.Errorf("%q%q %v", b, rest, err)
	}
}

func TestSuccessorFails(t *testing.T) {
	t.Parallel()
	cmd, _ := command(t, "dies")
	if _, err := Start(t.Context(), cmd); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("one that ends: %v", err)
	}
	cmd, _ = command(t, "hangs")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("too slow"))
	defer cancel()
	_, err := Start(ctx, cmd)
	if err == nil || !strings.Contains(err.Error(), "too slow") {
		t.Fatalf("one that hangs: %v", err)
	}
	var pid int
	if _, serr := fmt.Sscanf(err.Error(), "process %d", &pid); serr != nil || syscall.Kill(pid, 0) == nil {
		t.Errorf("%v: it lives on", err)
	}
	cmd.Path = "/no/such/program"
	if _, err := Start(t.Context(), cmd); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestInheritNothing(t *testing.T) {
	t.Parallel()
	for _, env := range []map[string]string{
		{},
		{"LISTEN_FDS": "2", "LISTEN_PID": "1"}, // for another process
		{"LISTEN_FDS": "2"},
		{"LISTEN_FDS": "0", "LISTEN_PID": strconv.Itoa(os.Getpid())},
	} {
		i, err := Inherit(env)
		if err != nil || len(i.Sockets) > 0 || i.Succeeds() || i.Released() != nil || i.Ready() != nil {
			t.Errorf("%v: %+v %v", env, i, err)
		}
	}
	for _, n := range []string{"", "x", "-1", "1000000"} {
		if _, err := Inherit(map[string]string{"LISTEN_FDS": n, "LISTEN_PID": strconv.Itoa(os.Getpid())}); err == nil {
			t.Errorf("LISTEN_FDS=%q is accepted", n)
		}
	}
}

func TestNotify(t *testing.T) {
	t.Parallel()
	if err := Notify("", Ready); err != nil {
		t.Error(err)
	}
	if err := Notify("/no/such/socket", Ready); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("no error that says what: %v", err)
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@portway-test-" + strconv.Itoa(os.Getpid())} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		_ = l.SetDeadline(time.Now().Add(10 * time.Second))
		if err := Notify(name, Reloading(), MainPID(42)); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"RELOADING=1\nMONOTONIC_USEC=", "MAINPID=42"} {
			b := make([]byte, 100)
			n, err := l.Read(b)
			if err != nil || !strings.HasPrefix(string(b[:n]), want) {
				t.Errorf("heard %q %v, want %q", b[:n], err, want)
			}
		}
		_ = l.Close()
	}
}
