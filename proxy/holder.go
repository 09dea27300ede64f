package proxy

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holder says who listens at a TCP port, as far as /proc shows it: without root,
// only processes of our own user; in a container, only those inside.
func holder(port uint16) string {
	sockets := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		addListening(sockets, file, port)
	}
	if len(sockets) > 0 {
		links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
		for _, link := range links {
			if target, err := os.Readlink(link); err == nil && sockets[target] {
				pid := strings.Split(link, "/")[2]
				name, _ := os.ReadFile("/proc/" + pid + "/comm")
				return fmt.Sprintf("it is held by %s (process %s)", strings.TrimSpace(string(name)), pid)
			}
		}
	}
	return fmt.Sprintf("another process holds it (as root, ss -ltnp 'sport = :%d' tells which)", port)
}

// addListening adds the sockets which listen at port, written as links in
// /proc/PID/fd are: "socket:[12345]". See proc_net_tcp.txt of the Linux kernel.
func addListening(sockets map[string]bool, file string, port uint16) {
	const listening = "0A"
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		column := strings.Fields(lines.Text())
		if len(column) < 10 || column[3] != listening {
			continue
		}
		_, hex, _ := strings.Cut(column[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(n) == port {
			sockets["socket:["+column[9]+"]"] = true
		}
	}
}
