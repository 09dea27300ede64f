package freeport_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"portway/internal/freeport"
)

// A port of the range below may be anybody's by the time it is opened.
func TestLocal(t *testing.T) {
	content, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	ephemeral, err := strconv.Atoi(strings.Fields(string(content))[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		address := freeport.Local(t)
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(port); err != nil || n >= ephemeral || n < 1024 {
			t.Errorf("%s: want a port from 1024 up to %d", address, ephemeral)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
