package exampletest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"portway/internal/geotest"
)

var update = flag.Bool("update", false, "write the database of the example match anew")

const exampleDatabase = "../../compose-examples/match/geo/country.mmdb"

// The database is what its README says.
func TestMatchDatabase(t *testing.T) {
	places := []geotest.Place{
		{Range: "192.0.2.0/24", Country: "DE", Continent: "EU"},
		{Range: "198.51.100.0/24", Country: "FR", Continent: "EU"},
		{Range: "203.0.113.0/24", Country: "JP", Continent: "AS"},
	}
	for _, private := range []string{"10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10"} {
		places = append(places, geotest.Place{Range: private, Country: "AT", Continent: "EU"})
	}
	want := geotest.Database(t, places...)
	if *update {
		if err := os.WriteFile(exampleDatabase, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(exampleDatabase); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the database is another one (%v): write it by go test ./internal/exampletest -run MatchDatabase -update", err)
	}
}

func TestMatch(t *testing.T) {
	trusting := func(compose string) string {
		return strings.Replace(compose, "environment:\n", "environment:\n      PORTWAY_TRUSTED_PROXIES: private\n", 1)
	}
	const (
		phone   = "User-Agent: Mozilla/5.0 (iPhone) Mobile"
		desktop = "User-Agent: Mozilla/5.0 (X11; Linux)"
	)
	run(t, "match", trusting, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		for _, name := range []string{"app", "news", "shop"} {
			e.reaches(t, c, name+"."+e.suffix, "/")
		}
		for _, tc := range []struct{ host, field, want string }{
			{"app", "", "app"},
			{"app", "Cookie: beta=yes", "app-next"},
			{"app", "Cookie: beta=no", "app"},
			{"news", "User-Agent: curl/8.5.0", "news-feed"},
			{"news", phone, "news-mobile"},
			{"news", desktop, "news"},
			{"shop", "", "shop-de"}, // from this machine
			{"shop", "X-Forwarded-For: 192.0.2.1", "shop-de"},
			{"shop", "X-Forwarded-For: 198.51.100.1", "shop-eu"},
			{"shop", "X-Forwarded-For: 203.0.113.1", "shop"},
			{"shop", "X-Forwarded-For: 8.8.8.8", "shop"},
		} {
			eventually(t, func() error { // each container gets its route when it is up
				req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://%s.%s:%d/", tc.host, e.suffix, e.https), nil)
				if err != nil {
					return err
				}
				req.Header.Set("Accept", "application/json")
				if name, value, ok := strings.Cut(tc.field, ": "); ok {
					req.Header.Set(name, value)
				}
				text, err := body(c.Do(req))
				if err != nil {
					return err
				}
				var f facts
				if err := json.Unmarshal([]byte(text), &f); err != nil {
					return err
				}
				if f.Name != tc.want {
					return fmt.Errorf("%s with %q reaches %q, want %s", tc.host, tc.field, f.Name, tc.want)
				}
				return nil
			})
		}
	})
}
