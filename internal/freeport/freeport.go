// Package freeport finds ports for programs that tests start and that have to be told
// where to listen.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// The range that Linux does not give to outgoing connections or to whoever listens on
// port 0: a port from there may be taken by any neighbour before the program opens it.
const low, high = 10000, 32768

// On gives an address at host where nobody listens, by TCP or UDP.
func On(host string) (string, error) {
	var last error
	for range 100 {
		address := net.JoinHostPort(host, strconv.Itoa(low+rand.IntN(high-low)))
		if last = free(address); last == nil {
			return address, nil
		}
	}
	return "", last
}

// TB is what Local wants of a test.
type TB interface {
	Helper()
	Fatal(args ...any)
}

// Local is On 127.0.0.1, for tests.
func Local(tb TB) string {
	tb.Helper()
	address, err := On("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	return address
}

func free(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", address)
	if err == nil {
		err = packets.Close()
	}
	return errors.Join(err, l.Close())
}
