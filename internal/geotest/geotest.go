// Package geotest makes databases of countries for tests.
package geotest

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Place is where a range is; either code may be empty.
type Place struct{ Range, Country, Continent string }

// Database returns an MMDB file of countries, as MaxMind and DB-IP make them.
func Database(t testing.TB, places ...Place) []byte {
	t.Helper()
	return Build(t, "Portway-Test-Country", func(p Place) mmdbtype.Map {
		record := mmdbtype.Map{}
		if p.Country != "" {
			record["country"] = mmdbtype.Map{"iso_code": mmdbtype.String(p.Country)}
		}
		if p.Continent != "" {
			record["continent"] = mmdbtype.Map{"code": mmdbtype.String(p.Continent)}
		}
		return record
	}, places...)
}

// Build returns an MMDB file of any kind.
func Build(t testing.TB, kind string, record func(Place) mmdbtype.Map, places ...Place) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: kind, RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: 1_767_225_600, // the same file each time
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		_, network, err := net.ParseCIDR(p.Range)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, record(p)); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Put puts content at path in one step, as updaters do.
func Put(t testing.TB, path string, content []byte) {
	t.Helper()
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		t.Fatal(err)
	}
}
