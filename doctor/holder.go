package doctor

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holder names the process that has a port open, as far as this user may see it; empty if
// not.
func holder(network, address string) string {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return ""
	}
	for _, table := range []string{network, network + "6"} {
		content, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		for inode := range inodes(network, string(content), port) {
			if who := owner("socket:[" + inode + "]"); who != "" {
				return who
			}
		}
	}
	return ""
}

// inodes gives those of the sockets that listen at a port; see proc_pid_net(5).
func inodes(network, table string, port int) func(yield func(string) bool) {
	const listening = "0A"
	return func(yield func(string) bool) {
		suffix := fmt.Sprintf(":%04X", port)
		for line := range strings.Lines(table) {
			f := strings.Fields(line)
			if len(f) < 10 || !strings.HasSuffix(f[1], suffix) || network == "tcp" && f[3] != listening {
				continue
			}
			if !yield(f[9]) {
				return
			}
		}
	}
}

// owner finds who has a socket among its files.
func owner(socket string) string {
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, file := range files {
		if link, err := os.Readlink(file); err != nil || link != socket {
			continue
		}
		process := filepath.Dir(filepath.Dir(file))
		name, _ := os.ReadFile(process + "/comm")
		return strings.TrimSpace(string(name)) + " (process " + filepath.Base(process) + ")"
	}
	return ""
}
