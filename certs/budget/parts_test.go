package budget

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDomain(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"www.example.com": "example.com", "example.com": "example.com", "*.a.example.co.uk": "example.co.uk",
		"WWW.Example.COM.": "example.com", "me.github.io": "me.github.io", "a.me.github.io": "me.github.io",
		"github.io": "github.io", "192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"::ffff:192.0.2.7": "192.0.2.7", "localhost": "localhost",
	} {
		if got := Domain(name); got != want {
			t.Errorf("%s is counted by %q, want %q", name, got, want)
		}
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for _, s := range []string{"example.com", "../../etc/passwd", "..", "2001:db8::/64", accountPage, "https://ca.example/dir"} {
		got := fileName(s)
		if got == "" && s != ".." || len(got) > 200 || got == ".." {
			t.Errorf("%q has the file %q", s, got)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q share the file %q", s, other, got)
		}
		seen[got] = s
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	if l, ok := Published("https://acme-v02.api.letsencrypt.org/directory"); !ok || l.Certificates != (Rate{50, 7 * 24 * time.Hour}) {
		t.Errorf("Let's Encrypt: %+v, %v", l, ok)
	}
	if l, ok := Published("https://ca.example/dir"); ok || l != (Limits{}) {
		t.Errorf("an own CA: %+v, %v", l, ok)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse("orders=300/3h, certificates=50/7d,duplicates=5/1w, failures=5/1h")
	if err != nil || got != letsEncrypt {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Parse(""); err != nil || got != (Limits{}) {
		t.Errorf("nothing: %+v, %v", got, err)
	}
	for _, text := range []string{"order=1/1h", "orders", "orders=5", "orders=0/1h", "orders=5/1ms", "orders=-1/1h", "orders=5/9999999d", "orders=5/x", "orders=9999999999/1h"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("orders=300/3h, certificates=50/7d")
	f.Add("failures=1/1w")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			return
		}
		for _, r := range []Rate{l.Orders, l.Certificates, l.Duplicates, l.Failures} {
			if !r.none() && (r.each() <= 0 || r.Per > longestPer) {
				t.Fatalf("%q leads to %+v", text, r)
			}
		}
	})
}

// Whatever a file holds, it stops nothing for longer than a limit does.
func FuzzPage(f *testing.F) {
	l, _ := json.Marshal(page{About: "example.com", Orders: 3, Certificates: bucket{time.Unix(1e9, 0)}})
	f.Add(l)
	f.Add([]byte(`{"about":"example.com","duplicates":{"a":"9999-12-31T23:59:59Z"},"validations":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(data, "example.com")
		if err != nil {
			return
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		p.tidy(letsEncrypt, now)
		b := &book{account: &page{}, domains: []*page{p}}
		b.account.tidy(letsEncrypt, now)
		for _, c := range b.costs(order("a.example.com")) {
			if _, until := c.bucket.take(c.rate, c.n, now); until.Sub(now) > c.rate.Per {
				t.Fatalf("%s: it waits until %v", data, until)
			}
		}
		for _, b := range b.blocks(order("a.example.com")) {
			if b.Until.Sub(now) > longestWait {
				t.Fatalf("%s: it waits until %v", data, b.Until)
			}
		}
	})
}
