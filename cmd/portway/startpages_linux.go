package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetStart gives back the pages of the program's file that only the start needed:
// initialising packages touches most of it, and the kernel maps what is around as well.
// What is needed later comes back from the page cache when it is. The mappings are of
// a file and cannot be written, so nothing is lost; where it cannot be done, pages stay.
func forgetStart() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		// 00400000-02b3c000 r-xp 00000000 00:2b 1234  /portway
		if !strings.HasSuffix(strings.TrimSuffix(line, "\n"), " "+exe) {
			continue
		}
		area, rest, _ := strings.Cut(line, " ")
		from, to, _ := strings.Cut(area, "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || end <= begin || len(rest) < 2 || rest[1] == 'w' {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(begin), uintptr(end-begin), unix.MADV_DONTNEED)
	}
}
