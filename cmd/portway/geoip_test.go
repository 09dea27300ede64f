package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"portway/internal/geotest"
)

// saying is an origin that says one thing.
func saying(t *testing.T, what string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, what) }))
	t.Cleanup(s.Close)
	return s.URL
}

// routesByCountry writes two routes for site.test into a folder, and gives its flag.
func routesByCountry(t *testing.T) string {
	folder := t.TempDir()
	text := fmt.Sprintf("all:\n  host: site.test\n  https: off\n  to: %s\ngerman:\n  host: site.test\n  https: off\n  match.country: DE\n  to: %s\n",
		saying(t, "all"), saying(t, "german"))
	if err := os.WriteFile(filepath.Join(folder, "routes.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--routes=" + folder
}

func TestGeoIP(t *testing.T) {
	t.Parallel()
	home := func(country string) []byte {
		return geotest.Database(t, geotest.Place{Range: "127.0.0.0/8", Country: country, Continent: "EU"})
	}
	database := filepath.Join(t.TempDir(), "country.mmdb")
	geotest.Put(t, database, home("DE"))
	p := runProcess(t, "http://unused.test", routesByCountry(t), "--geoip="+database)
	p.log("countries are known")
	want := func(want string) {
		t.Helper()
		if status, body, err := p.get(t.Context(), "/"); err != nil || body != want {
			t.Errorf("got %d %q %v, want %s", status, body, err, want)
		}
	}
	want("german")
	geotest.Put(t, database, home("FR"))
	p.log("countries are known")
	want("all")
}

// Without a database, the route that asks for a country is not served, and why is
// said.
func TestNoGeoIP(t *testing.T) {
	t.Parallel()
	p := runProcess(t, "http://unused.test", routesByCountry(t))
	p.log("german.match.country", "give Portway one by the setting geoip")
	if _, body, err := p.get(t.Context(), "/"); err != nil || body != "all" {
		t.Errorf("got %q, %v", body, err)
	}
}
