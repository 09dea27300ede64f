package discovery

import (
	"net/netip"
	"strings"
	"testing"

	"portway/route"
)

func on(networks ...string) []attachment {
	var all []attachment
	for i, n := range networks {
		name, id, _ := strings.Cut(n, "@")
		all = append(all, attachment{name: name, id: id, ip: netip.AddrFrom4([4]byte{172, 18, 0, byte(i + 2)})})
	}
	return all
}

// What no recording shows: engines elsewhere, Swarm's ingress network, networks
// that only share a name.
func TestAddress(t *testing.T) {
	t.Parallel()
	any80 := []binding{{port: 80, hostIP: netip.IPv4Unspecified(), host: 8080}}
	loopback80 := []binding{{port: 80, hostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), host: 8080}}
	for _, c := range []struct {
		name string
		v    vantage
		a    attachments
		o    route.Options
		want string
	}{
		{
			name: "another machine's engine: the published port there",
			v:    vantage{remote: "engine.lan", published: true}, a: attachments{networks: on("a"), published: any80},
			want: "engine.lan:8080",
		},
		{
			name: "another machine's engine: published on its loopback only",
			v:    vantage{remote: "engine.lan", published: true}, a: attachments{networks: on("a"), published: loopback80},
			want: "its port 80 is not published",
		},
		{
			name: "another machine's engine: on its host network",
			v:    vantage{remote: "engine.lan", published: true}, a: attachments{mode: "host", exposed: []int{80}},
			want: "engine.lan:80",
		},
		{
			name: "Swarm's ingress network connects nobody",
			v:    vantage{inside: true, networks: on("ingress@1", "front@2")}, a: attachments{networks: on("ingress@1", "front@2"), exposed: []int{80}},
			want: "172.18.0.3:80",
		},
		{
			name: "only Swarm's ingress network is shared",
			v:    vantage{inside: true, networks: on("ingress@1", "front@2")}, a: attachments{networks: on("ingress@1", "back@3"), exposed: []int{80}},
			want: "shares no network with Portway: it is on back, Portway on ingress, front",
		},
		{
			name: "a network that was made anew under its name is another one",
			v:    vantage{inside: true, networks: on("front@1")}, a: attachments{networks: on("front@2"), exposed: []int{80}},
			want: "shares no network with Portway",
		},
		{
			name: "a host network without any gateway",
			v:    vantage{inside: true, networks: on("internal@1")}, a: attachments{mode: "host", exposed: []int{80}},
			want: "none of its networks has a gateway (internal)",
		},
		{
			name: "the label's port counts, whatever is exposed",
			a:    attachments{networks: on("a"), exposed: []int{80, 81}}, o: route.Options{Port: 9000},
			want: "172.18.0.2:9000",
		},
	} {
		choice, trouble := c.v.address(c.a, "", c.o)
		addr := choice.Address
		if trouble != nil {
			addr = trouble.why
		}
		if !strings.Contains(addr, c.want) {
			t.Errorf("%s: %q, want %q", c.name, addr, c.want)
		}
	}
}

func TestRemoteHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"unix:///var/run/docker.sock": "", "tcp://127.0.0.1:2375": "", "tcp://[::1]:2375": "", "tcp://localhost:2375": "",
		"tcp://engine.lan:2376": "engine.lan", "tcp://[fd00::1]:2376/base": "fd00::1", "tcp://10.0.0.2:2376": "10.0.0.2",
	} {
		if got := remoteHost(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

func TestSignalNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 15, "SIGTERM": 15, "TERM": 15, "sigquit": 3, "9": 9, "SIGRTMIN+3": 37, "nonsense": 15, "0": 15, "-1": 15,
	} {
		if got := signalNumber(text); int(got) != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
