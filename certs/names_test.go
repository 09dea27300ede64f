package certs

import (
	"slices"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]kind{
		"app.example.com":     public,
		"example.co.uk":       public,
		"xn--bcher-kva.ch":    public,
		"mylocal.com":         public,
		"notlocalhost.org":    public,
		"localhost":           internal,
		"whoami.localhost":    internal,
		"*.localhost":         internal,
		"nas":                 internal,
		"nas.local":           internal,
		"a.b.lan":             internal,
		"db.internal":         internal,
		"router.home.arpa":    internal,
		"*.dev.home.arpa":     internal,
		"x.test":              internal,
		"x.invalid":           internal,
		"x.example":           internal,
		"my_app.lan":          internal,
		"192.168.1.10":        internal,
		"10.0.0.1":            internal,
		"203.0.113.7":         internal,
		"2001:db8::1":         internal,
		"100.64.0.1":          internal,
		"127.0.0.1":           internal,
		"fd00::1":             internal,
		"fe80::1":             internal,
		"8.8.8.8":             public,
		"2606:4700::1111":     public,
		"*.example.com":       public,
		"my_app.example.com":  refused,
		"*.app.home.arpa.com": public,
	} {
		got, reason := classify(name, false, publicAddress)
		if got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if (got == refused) != (reason != "") {
			t.Errorf("%s: kind %v with reason %q", name, got, reason)
		}
		if got, _ := classify(name, true, publicAddress); got != internal {
			t.Errorf("%s with every name internal: got %v", name, got)
		}
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"App.Example.COM.":    "app.example.com",
		"[2001:DB8:0::1]":     "2001:db8::1",
		"::ffff:192.168.1.10": "192.168.1.10",
		"fe80::1%eth0":        "fe80::1",
		"*.Example.com":       "*.example.com",
	} {
		if got := normalize(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	set := make(map[string]*entry)
	for _, name := range []string{"a.example.com", "*.example.com", "*.localhost", "192.168.1.10", "10.0.0.1"} {
		set[name] = newEntry(name, internal, Wishes{}, "", "")
	}
	n := newNames(set, nil)
	for host, want := range map[string]string{
		"a.example.com":   "a.example.com",
		"b.example.com":   "*.example.com",
		"a.b.example.com": "",
		"example.com":     "",
		"x.localhost":     "*.localhost",
		"localhost":       "",
		".localhost":      "",
		"":                "",
		"10.0.0.1":        "10.0.0.1",
		"10.0.0.2":        "",
	} {
		e := n.find(host)
		switch {
		case e == nil && want != "":
			t.Errorf("%q: got nothing, want %s", host, want)
		case e != nil && e.name != want:
			t.Errorf("%q: got %s, want %q", host, e.name, want)
		}
	}
	if want := []string{"10.0.0.1", "192.168.1.10"}; !slices.Equal(n.ips, want) {
		t.Errorf("addresses: got %v, want %v", n.ips, want)
	}
	if again := newNames(set, n); again.ipLeaf != n.ipLeaf {
		t.Error("the certificate for the same addresses is not kept")
	}
}

// Clients choose what comes in here.
func FuzzFind(f *testing.F) {
	n := newNames(map[string]*entry{
		"a.com":   newEntry("a.com", public, Wishes{}, "", ""),
		"*.a.com": newEntry("*.a.com", internal, Wishes{}, "", ""),
		"::1":     newEntry("::1", internal, Wishes{}, "", ""),
	}, nil)
	for _, seed := range []string{"a.com", "B.a.com.", "[::1]", ".a.com", "", ".", "x.b.a.com", "a.com\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		host = normalize(host)
		e := n.find(host)
		if e == nil || e.name == host {
			return
		}
		label, ok := strings.CutSuffix(host, ".a.com")
		if e.name != "*.a.com" || !ok || label == "" || strings.Contains(label, ".") {
			t.Errorf("%q is covered by %s", host, e.name)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	n := newNames(map[string]*entry{"*.example.com": newEntry("*.example.com", internal, Wishes{}, "", "")}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if n.find("some.example.com") == nil {
			b.Fatal("not found")
		}
	}
}
