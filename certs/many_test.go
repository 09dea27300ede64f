package certs

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portway/internal/pebbletest"
)

// Many names that come at once are all served, by few orders at a time, and
// visitors of the names that are there do not notice.
func TestManyNamesAtOnce(t *testing.T) {
	// Not parallel: it measures.
	count := 100
	if full() {
		count = 500
	}
	sites := newSites(t, 2)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: sites[0].httpPort, TLSPort: sites[0].tlsPort, BadNonces: 5, Yielding: true})
	p.SetAddress(sites[0].ip)
	p.SetA("bystander.example.net", sites[1].ip)
	roots := p.Roots()
	h := watch(t, p, sites[0], "old.example.net")
	watch(t, p, sites[1], "bystander.example.net") // a process that has the same machine, and nothing to do
	visit := func(s *site, name string) time.Duration {
		begun := time.Now()
		conn, err := tls.Dial("tcp", net.JoinHostPort(s.ip, strconv.Itoa(s.tlsPort)), &tls.Config{ServerName: name, RootCAs: roots})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer func() { _ = conn.Close() }()
		return time.Since(begun)
	}
	// window is the p99 of a hundred handshakes with either process.
	window := func() (ours, bystanders time.Duration) {
		var a, b []time.Duration
		for range 100 {
			a, b = append(a, visit(sites[0], "old.example.net")), append(b, visit(sites[1], "bystander.example.net"))
		}
		slices.Sort(a)
		slices.Sort(b)
		return a[98], b[98]
	}
	var idle, busy, bystander []time.Duration
	for range 5 {
		ours, _ := window()
		idle = append(idle, ours)
	}
	names := []string{"old.example.net"}
	for i := range count {
		names = append(names, fmt.Sprintf("n%d.example.com", i))
	}
	before := residentPeak(t, h.cmd.Process.Pid)
	orders := p.Orders()
	begun := time.Now()
	if err := json.NewEncoder(h.names).Encode(names); err != nil {
		t.Fatal(err)
	}
	for h.valid() < len(names) && time.Since(begun) < 5*time.Minute {
		ours, other := window()
		busy, bystander = append(busy, ours), append(bystander, other)
	}
	took := time.Since(begun)
	for _, name := range names {
		visit(sites[0], name)
	}
	peak := residentPeak(t, h.cmd.Process.Pid)
	made := p.Orders() - orders
	if made < count || made > count+count/10 { // one whose nonces were refused all the time is made again
		t.Errorf("%d orders for %d names", made, count)
	}
	if h.orders > 32 {
		t.Errorf("%d orders at once", h.orders)
	}
	if grown := peak - before; grown > 200<<20 {
		t.Errorf("it took %d MiB more", grown>>20)
	}
	calm, stirred, beside := median(idle), median(busy), median(bystander)
	if stirred > 10*beside+50*time.Millisecond { // loose: a machine with other work must not fail it
		t.Errorf("handshakes of other names: p99 of %v, %v with a process beside that obtains nothing", stirred, beside)
	}
	short := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	t.Logf("FIGURES %d names at once against Pebble on the same machine: all served after %v, %.1f orders/s, at most %d at a time; peak resident memory %d MiB, %d MiB before",
		count, took.Round(10*time.Millisecond), float64(made)/took.Seconds(), h.orders, peak>>20, before>>20)
	t.Logf("FIGURES handshakes of another name while %d are obtained: p99 %v, x%.1f of %v while idle, x%.1f of %v with a process beside that obtains nothing (medians of %d windows)",
		count, short(stirred), float64(stirred)/float64(calm), short(calm), float64(stirred)/float64(beside), short(beside), len(busy))
}

// watch starts a process at s that has a certificate for name.
func watch(t *testing.T, p *pebbletest.Pebble, s *site, name string) *helper {
	t.Helper()
	h, err := s.start(p, orders{Storage: t.TempDir(), Limits: roomy, Names: []string{name}})
	if err == nil {
		err = h.await(Valid, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

// residentPeak is the most memory that a process has had, in bytes.
func residentPeak(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
