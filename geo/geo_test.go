package geo

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"portway/internal/geotest"
)

var places = []geotest.Place{
	{Range: "192.0.2.0/24", Country: "DE", Continent: "EU"},
	{Range: "198.51.100.0/25", Country: "US", Continent: "NA"},
	{Range: "198.51.100.128/25", Continent: "NA"},
	{Range: "203.0.113.0/24", Country: "xx", Continent: "FA"},
	{Range: "2001:db8::/33", Country: "ZZ", Continent: "OC"},
	{Range: "127.0.0.0/8", Country: "AA", Continent: "SA"},
}

// events is a log whose lines a test can wait for.
type events struct {
	slog.Handler
	lines chan string
}

func newEvents() (*slog.Logger, *events) {
	e := &events{Handler: slog.DiscardHandler, lines: make(chan string, 100)}
	return slog.New(e), e
}

func (e *events) Enabled(context.Context, slog.Level) bool { return true }

func (e *events) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			text += ": " + a.Value.String()
		}
		return true
	})
	e.lines <- text
	return nil
}

// wait waits for a line that has text in it.
func (e *events) wait(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line := <-e.lines:
			if strings.Contains(line, text) {
				return
			}
			t.Log(line)
		case <-deadline:
			t.Fatalf("nobody said %q", text)
		}
	}
}

func at(d *Database, address string) string {
	country, continent, ok := d.Place(netip.MustParseAddr(address))
	if !ok {
		return "nobody knows"
	}
	return country + "/" + continent
}

func TestPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "country.mmdb")
	geotest.Put(t, path, geotest.Database(t, places...))
	log, said := newEvents()
	d := Open(path, log)
	said.wait(t, "countries are known")
	for range 2 { // the second time from the cache
		for address, want := range map[string]string{
			"192.0.2.255":      "DE/EU",
			"::ffff:192.0.2.1": "DE/EU",
			"198.51.100.1":     "US/NA",
			"198.51.100.129":   "/NA",
			"203.0.113.1":      "/", // codes that are none
			"2001:db8::1":      "ZZ/OC",
			"2001:db8::1%eth0": "ZZ/OC",
			"127.0.0.1":        "AA/SA",
			"8.8.8.8":          "/",
			"2001:db9::1":      "/",
		} {
			if got := at(d, address); got != want {
				t.Errorf("%s is in %s, want %s", address, got, want)
			}
		}
	}
	if _, _, ok := d.Place(netip.Addr{}); !ok {
		t.Error("an address that is none makes the database go away")
	}
}

func TestPlaceDoesNotAllocate(t *testing.T) {
	db, err := parse(geotest.Database(t, places...))
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"192.0.2.1", "2001:db8::1", "8.8.8.8"} {
		a := netip.MustParseAddr(address)
		if n := testing.AllocsPerRun(100, func() { db.place(a) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", address, n)
		}
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	good := geotest.Database(t, places...)
	numbers := geotest.Build(t, "Test-ASN", func(geotest.Place) mmdbtype.Map {
		return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64500), "country": mmdbtype.String("DE")}
	}, places...)
	for name, tt := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":        {nil, "it is no MMDB file, or not all of one"},
		"a page":       {[]byte("<html>Your license key is wrong"), "it is no MMDB file, or not all of one"},
		"half":         {good[:len(good)/2], "it is no MMDB file, or not all of one"},
		"no countries": {numbers, `it has no countries: its type is "Test-ASN"`},
		"the end":      {good[len(good)/2:], "it is"},
	} {
		path := filepath.Join(t.TempDir(), "country.mmdb")
		geotest.Put(t, path, tt.content)
		log, said := newEvents()
		d := Open(path, log)
		said.wait(t, "no country is known, so that routes with match.country or match.continent fit nobody: "+tt.want)
		if got := at(d, "192.0.2.1"); got != "nobody knows" {
			t.Errorf("%s: the address is in %s", name, got)
		}
	}
	log, said := newEvents()
	Open(t.TempDir(), log)
	said.wait(t, "it is no regular file")
}

// A tree whose nodes share their branches has more networks than there are atoms.
func TestTreeWithoutEnd(t *testing.T) {
	t.Parallel()
	content := geotest.Database(t, geotest.Place{Range: "2001:db8::1/128", Country: "DE", Continent: "EU"})
	const nodes, size = 249, 6 // of 24 bits for each side
	for i := range nodes {
		next := []byte{0, 0, byte(i + 1)}
		if i >= 127 {
			next[2] = nodes // which is nothing
		}
		copy(content[i*size:], append(next, next...))
	}
	if _, err := parse(content); err == nil || !strings.Contains(err.Error(), "its tree leads back into itself") {
		t.Errorf("got %v", err)
	}
}

// run runs a database with a good file until the test ends.
func run(t *testing.T, path string) (*Database, *events) {
	t.Helper()
	log, said := newEvents()
	d := Open(path, log)
	d.quiet = 50 * time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return d, said
}

func version(t *testing.T, country string) []byte {
	return geotest.Database(t, geotest.Place{Range: "192.0.2.0/24", Country: country, Continent: "EU"})
}

func TestNewVersions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "country.mmdb")
	d, said := run(t, path)
	said.wait(t, "no such file")

	geotest.Put(t, path, version(t, "DE"))
	said.wait(t, "countries are known")
	if got := at(d, "192.0.2.1"); got != "DE/EU" {
		t.Errorf("first version: %s", got)
	}

	geotest.Put(t, path, version(t, "FR"))
	said.wait(t, "countries are known")
	if got := at(d, "192.0.2.1"); got != "FR/EU" {
		t.Errorf("second version: %s", got)
	}

	// Written over, first one half.
	next := version(t, "AT")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(next[:len(next)/2]); err != nil {
		t.Fatal(err)
	}
	said.wait(t, "the last version goes on: it is no MMDB file, or not all of one")
	if got := at(d, "192.0.2.1"); got != "FR/EU" {
		t.Errorf("with half a file: %s", got)
	}
	if _, err := f.Write(next[len(next)/2:]); err != nil {
		t.Fatal(err)
	}
	said.wait(t, "countries are known")
	if got := at(d, "192.0.2.1"); got != "AT/EU" {
		t.Errorf("written over: %s", got)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	said.wait(t, "the last version goes on: stat")
	if got := at(d, "192.0.2.1"); got != "AT/EU" {
		t.Errorf("without a file: %s", got)
	}
}

// As geoipupdate and Kubernetes do it: the file is a link, or is below one.
func TestLinks(t *testing.T) {
	t.Parallel()
	for name, inFolder := range map[string]bool{"a link to the file": false, "a link to the folder": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			put := func(folder, country string) string {
				t.Helper()
				folder = filepath.Join(base, folder)
				if err := os.Mkdir(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				geotest.Put(t, filepath.Join(folder, "country.mmdb"), version(t, country))
				return folder
			}
			link := func(target, path string) {
				t.Helper()
				if err := os.Symlink(target, path+".new"); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(path+".new", path); err != nil {
					t.Fatal(err)
				}
			}
			path, swap := filepath.Join(base, "country.mmdb"), func(folder string) { link(filepath.Join(folder, "country.mmdb"), filepath.Join(base, "country.mmdb")) }
			if inFolder {
				swap = func(folder string) { link(folder, filepath.Join(base, "..data")) }
				link("..data/country.mmdb", path)
			}
			swap(put("v1", "DE"))
			d, said := run(t, path)
			said.wait(t, "countries are known")
			swap(put("v2", "FR"))
			said.wait(t, "countries are known")
			if got := at(d, "192.0.2.1"); got != "FR/EU" {
				t.Errorf("the address is in %s", got)
			}
		})
	}
}

// Where there are no notifications, the file is looked at now and then.
func TestPolling(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	far := filepath.Join(base, "far")
	if err := os.Mkdir(far, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(far, "away", "country.mmdb") // in a folder that is not there yet
	log, said := newEvents()
	d := Open(path, log)
	d.quiet, d.poll = 20*time.Millisecond, 50*time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = d.Run(ctx) }()
	said.wait(t, "no such file")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	geotest.Put(t, path, version(t, "DE"))
	said.wait(t, "countries are known")
	if got := at(d, "192.0.2.1"); got != "DE/EU" {
		t.Errorf("the address is in %s", got)
	}
}

// FuzzParse: whatever is in the file, it is used or it is not.
func FuzzParse(f *testing.F) {
	good := geotest.Database(f, places[:2]...)
	f.Add(good)
	f.Add(good[len(good)/2:])
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	f.Add(geotest.Build(f, "Other", func(geotest.Place) mmdbtype.Map {
		return mmdbtype.Map{"country": mmdbtype.String("DE"), "continent": mmdbtype.Map{"code": mmdbtype.Uint16(3)}}
	}, places...))
	f.Fuzz(func(t *testing.T, content []byte) {
		start := time.Now()
		db, err := parse(content)
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%d bytes take %v", len(content), d)
		}
		if err != nil {
			return
		}
		for _, address := range []string{"192.0.2.1", "198.51.100.1", "::", "2001:db8::1", "255.255.255.255"} {
			country, continent := db.place(netip.MustParseAddr(address))
			if country != "" && !isCode(country) || continent != "" && !isCode(continent) {
				t.Errorf("%s is in %q, %q", address, country, continent)
			}
		}
	})
}

func BenchmarkPlace(b *testing.B) {
	db, err := parse(geotest.Database(b, places...))
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		db.place(a)
	}
}
