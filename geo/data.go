package geo

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxSize bounds a database; the largest on the market have a quarter of it.
const maxSize = 1 << 30

// read takes the whole file into memory: a mapped one would end the process when
// somebody writes over it or cuts it off.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Size() > maxSize:
		return nil, fmt.Errorf("it has more than %d bytes", maxSize)
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, fmt.Errorf("it became shorter while it was read: %w", err)
	}
	return content, nil
}

// data is one version of a database. It is never changed but for its cache.
type data struct {
	reader *maxminddb.Reader
	kind   string
	built  time.Time

	// cache has places by the offset of their records, which are few in a database
	// of countries: each entry is a record's offset (upper 48 bits), country (11
	// bits) and continent (4 bits), and a bit that says that it is there.
	cache [1 << 12]atomic.Uint64
}

// record is what is read of a record.
type record struct {
	Country   code `maxminddb:"country"`
	Continent struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"continent"`
}

type code struct {
	ISO string `maxminddb:"iso_code"`
}

// parse checks a database as a whole, so that one that was cut off, or is of
// another kind, is not put in place of a good one.
func parse(content []byte) (db *data, err error) {
	defer func() {
		if v := recover(); v != nil {
			db, err = nil, fmt.Errorf("it is broken: %v", v)
		}
	}()
	reader, err := maxminddb.OpenBytes(content, maxminddb.DisableStringCache())
	if err != nil {
		return nil, fmt.Errorf("it is no MMDB file, or not all of one: %w", err)
	}
	db = &data{reader: reader, kind: reader.Metadata.DatabaseType, built: reader.Metadata.BuildTime()}
	if err := db.check(); err != nil {
		return nil, err
	}
	return db, nil
}

// check reads all of the database. Reader.Verify will not do, nor Reader.Networks as
// it is meant to be: both follow the tree down, which has no end in a broken file
// where branches are shared. A sound tree has one network more than nodes at most,
// and that of IPv4 in up to four places.
func (db *data) check() error {
	places, left := 0, 4*(int(db.reader.Metadata.NodeCount)+1)
	for result := range db.reader.Networks(maxminddb.IncludeAliasedNetworks(), maxminddb.IncludeNetworksWithoutData()) {
		if err := result.Err(); err != nil {
			return fmt.Errorf("it is broken: %w", err)
		}
		if left--; left < 0 {
			return errors.New("it is broken: its tree leads back into itself")
		}
		if !result.Found() {
			continue
		}
		p, err := db.find(result)
		if err != nil {
			return fmt.Errorf("it is broken: %w", err)
		}
		if p != 0 {
			places++
		}
	}
	if places == 0 {
		return fmt.Errorf("it has no countries: its type is %q", db.kind)
	}
	return nil
}

// place is a country and a continent, as in data.cache.
type place uint64

const (
	known         = 1 // the lowest bit
	continentBits = 1
	countryBits   = 5
	offsetBits    = 16
	placeMask     = 1<<offsetBits - 1
)

// continents by number.
var continents = [...]string{"", "AF", "AN", "AS", "EU", "NA", "OC", "SA"}

// pairs has all pairs of letters, so that codes need no memory of their own.
var pairs = func() string {
	var b strings.Builder
	for first := 'A'; first <= 'Z'; first++ {
		for second := 'A'; second <= 'Z'; second++ {
			b.WriteRune(first)
			b.WriteRune(second)
		}
	}
	return b.String()
}()

// pack makes a place of codes; one that is none counts as not known.
func pack(country, continent string) place {
	var p place
	if isCode(country) {
		p |= place(int(country[0]-'A')*26+int(country[1]-'A')+1) << countryBits
	}
	if i := slices.Index(continents[:], continent); i > 0 {
		p |= place(i) << continentBits
	}
	return p
}

func isCode(s string) bool {
	return len(s) == 2 && 'A' <= s[0] && s[0] <= 'Z' && 'A' <= s[1] && s[1] <= 'Z'
}

func (p place) unpack() (country, continent string) {
	if i := int(p>>countryBits) & (1<<(offsetBits-countryBits) - 1); i > 0 {
		country = pairs[2*(i-1) : 2*i]
	}
	return country, continents[int(p>>continentBits)&(1<<(countryBits-continentBits)-1)]
}

// decode reads a record; what is not there or has another form is not known.
func decode(result maxminddb.Result) (place, error) {
	var r record
	err := result.Decode(&r)
	if _, ok := errors.AsType[maxminddb.InvalidDatabaseError](err); ok {
		return 0, err
	}
	if err != nil {
		return 0, nil
	}
	return pack(r.Country.ISO, r.Continent.Code), nil
}

// find returns the place of a result, which is one that was found.
func (db *data) find(result maxminddb.Result) (place, error) {
	offset := uint64(result.Offset())
	slot := &db.cache[offset*0x9E3779B97F4A7C15>>52] // as Fibonacci hashing does
	if v := slot.Load(); v&known != 0 && v>>offsetBits == offset {
		return place(v&placeMask) &^ known, nil
	}
	p, err := decode(result)
	if err == nil {
		slot.Store(offset<<offsetBits | uint64(p) | known)
	}
	return p, err
}

// place finds out where an address is.
func (db *data) place(a netip.Addr) (country, continent string) {
	result := db.reader.Lookup(a.Unmap().WithZone(""))
	if !result.Found() {
		return "", ""
	}
	p, _ := db.find(result) // an error was told by check
	return p.unpack()
}
