package discovery

import (
	"slices"
	"strings"
	"testing"
)

func TestPossibleIDs(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	for _, c := range []struct {
		name, mounts, cgroup, hostname string
		want                           []string
	}{
		{
			name:   "Docker, cgroup 2: only the mounts tell, whatever the host name",
			mounts: "1034 1015 254:0 /var/lib/docker/containers/" + a + "/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda rw\n",
			cgroup: "0::/\n", hostname: "portway", want: []string{a},
		},
		{
			name:   "a container's files that are mounted elsewhere are not ours",
			mounts: "1034 1015 254:0 /var/lib/docker/containers/" + a + "/a.log /logs rw - ext4 /dev/vda rw\n",
		},
		{
			name:   "Podman",
			mounts: "1034 1015 0:50 /containers/storage/overlay-containers/" + a + "/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw\n",
			want:   []string{a},
		},
		{name: "cgroup 1", cgroup: "9:pids:/docker/" + a + "\n8:cpu:/docker/" + a + "\n", want: []string{a}},
		{name: "systemd's cgroups, in another container", cgroup: "0::/system.slice/docker-" + a + ".scope/docker/" + b + "\n", want: []string{b}},
		{name: "the default host name", hostname: a[:12], want: []string{a[:12]}},
		{name: "a host name that merely looks a little like it", hostname: "cafe-babe-12"},
		{name: "a machine", mounts: "27 1 254:0 / / rw - ext4 /dev/vda rw\n", cgroup: "0::/system.slice/portway.service\n", hostname: "nas"},
		{name: "garbage", mounts: "x\n\n1 2 3 4", cgroup: "\x00"},
	} {
		if got := possibleIDs(c.mounts, c.cgroup, c.hostname); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
