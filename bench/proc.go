package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat (USER_HZ is 100 on every Linux
// port that Go runs on).
const tick = 10 * time.Millisecond

// family lists pid and its descendants.
func family(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is valid
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue // ended meanwhile
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		p, err1 := strconv.Atoi(filepath.Base(filepath.Dir(s)))
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], p)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// cpuTime is user + system time of pid and its descendants.
func cpuTime(pid int) (time.Duration, error) {
	var total time.Duration
	for i, p := range family(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			if i == 0 {
				return 0, err
			}
			continue
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		user, err := strconv.ParseInt(fields[11], 10, 64)
		if err != nil {
			return 0, err
		}
		system, err := strconv.ParseInt(fields[12], 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(user+system) * tick
	}
	return total, nil
}

// memory sums a field of /proc/PID/status, such as VmRSS or VmHWM, over pid and
// its descendants, in bytes. Pages shared between workers count in each.
func memory(pid int, field string) int64 {
	var total int64
	for _, p := range family(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, field+":"); ok {
				kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				total += kb << 10
			}
		}
	}
	return total
}
