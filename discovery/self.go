package discovery

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

var (
	longID  = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	shortID = regexp.MustCompile(`^[0-9a-f]{12}([0-9a-f]{52})?$`)
)

// ownIDs returns what may be the ID of the container that this process is in,
// the surest first; whether it is one, the engine must say.
func ownIDs() []string {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	cgroup, _ := os.ReadFile("/proc/self/cgroup")
	hostname, _ := os.Hostname()
	return possibleIDs(string(mounts), string(cgroup), hostname)
}

// possibleIDs finds container IDs where engines leave them: in the paths of the
// files that they mount over /etc (Docker and Podman alike, whatever the
// network or host name), in the names of control groups (version 1), and in the
// host name.
func possibleIDs(mounts, cgroup, hostname string) []string {
	var ids []string
	add := func(id string) {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for line := range strings.Lines(mounts) {
		// See proc_pid_mountinfo(5): the fourth field is the mounted path within
		// its file system, the fifth where it is mounted.
		fields := strings.Fields(line)
		if len(fields) > 4 && slices.Contains([]string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}, fields[4]) {
			add(longID.FindString(fields[3]))
		}
	}
	for line := range strings.Lines(cgroup) {
		if all := longID.FindAllString(line, -1); len(all) > 0 {
			add(all[len(all)-1])
		}
	}
	if shortID.MatchString(hostname) {
		add(hostname)
	}
	return ids
}
