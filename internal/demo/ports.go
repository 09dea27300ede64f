package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// choosePorts takes what the user asks for, else 80 and 443, else others if
// those are in use, and says so.
func choosePorts(askedHTTP, askedHTTPS string) (st state, err error) {
	if st.HTTP, err = choosePort("PORTWAY_DEMO_HTTP", askedHTTP, 80, 8080); err != nil {
		return st, err
	}
	st.HTTPS, err = choosePort("PORTWAY_DEMO_HTTPS", askedHTTPS, 443, 8443)
	return st, err
}

func choosePort(name, asked string, usual, other int) (int, error) {
	if asked != "" {
		n, err := strconv.ParseUint(asked, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%s: %q is not a port", name, asked)
		}
		return int(n), nil
	}
	if isFree(usual) {
		return usual, nil
	}
	for port := other; port < 1<<16; port += 100 {
		if isFree(port) {
			fmt.Printf("Port %d is in use or not allowed here; the demo takes %d (set %s to choose).\n", usual, port, name)
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found; set %s", name)
}

// isFree tells whether a port can be listened at: by us, or, where only root
// may, by an engine.
func isFree(port int) bool {
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err == nil {
		return l.Close() == nil
	}
	if !errors.Is(err, syscall.EACCES) || !engineAnswers() {
		return false
	}
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), time.Second)
	if err != nil {
		return true
	}
	_ = conn.Close()
	return false
}
