// Package geo tells in which country an address is, by a database in the MMDB
// format (https://maxmind.github.io/MaxMind-DB/) such as those by MaxMind or
// DB-IP. The file is watched: a new version takes the old one's place while
// requests go on, and one that cannot be read, or is only half there, does not.
package geo

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Database is a database that may be replaced at any time. Its methods may be
// called from any goroutine.
type Database struct {
	path    string
	logger  *slog.Logger
	current atomic.Pointer[data]

	quiet time.Duration // how long a file must have been as it is before it is read
	poll  time.Duration // how often to look without a notification

	// Only Run uses these, and Open before it.
	seen   os.FileInfo // when it was last looked at; nil: it was not there
	tried  os.FileInfo // what was last read, or tried to
	absent bool        // it was said that there is no such file
}

// Open reads the database at path. If that fails, it says so in the log, and knows
// nothing until Run finds a file that can be read.
func Open(path string, logger *slog.Logger) *Database {
	d := &Database{path: filepath.Clean(path), logger: logger, quiet: 500 * time.Millisecond, poll: 30 * time.Second}
	if d.look() {
		d.load()
	}
	return d
}

// Place returns the country of an address (ISO 3166-1 alpha-2, upper case) and its
// continent (AF, AN, AS, EU, NA, OC or SA), each empty if it is not known. ok is
// false while there is no database. It does not allocate but for the first address
// of a record.
func (d *Database) Place(a netip.Addr) (country, continent string, ok bool) {
	db := d.current.Load()
	if db == nil {
		return "", "", false
	}
	country, continent = db.place(a)
	return country, continent, true
}

// look takes note of the file and tells whether there is a new one.
func (d *Database) look() bool {
	info, err := os.Stat(d.path)
	if err != nil {
		if !d.absent {
			d.absent = true
			d.complain(err)
		}
		d.seen = nil
		return false
	}
	d.absent = false
	d.seen = info
	return !same(info, d.tried)
}

// same tells whether a file is as it was.
func same(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// load reads the file that look has seen.
func (d *Database) load() {
	d.tried = d.seen
	content, err := read(d.path)
	if err != nil {
		d.complain(err)
		return
	}
	db, err := parse(content)
	if err != nil {
		d.complain(err)
		return
	}
	d.current.Store(db)
	d.logger.Info("countries are known", "database", d.path, "type", db.kind, "built", db.built.UTC().Format(time.DateOnly))
}

// complain says what is wrong with the file, and what that means.
func (d *Database) complain(err error) {
	what := "no country is known, so that routes with match.country or match.continent fit nobody"
	if d.current.Load() != nil {
		what = "the last version goes on"
	}
	d.logger.Error("the database of countries cannot be used; "+what, "database", d.path, "error", err,
		"fix", "give the setting geoip a file in the MMDB format that Portway may read, such as GeoLite2-Country.mmdb")
}
