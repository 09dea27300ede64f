package exampletest

import (
	"bytes"
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
		for _, name := range []string{"app", "news", "shop", "api"} {
			e.reaches(t, c, name+"."+e.suffix, "/")
		}
		for _, tc := range []struct{ host, target, field, want string }{
			{"app", "GET /", "", "app"},
			{"app", "GET /", "Cookie: beta=yes", "app-next"},
			{"app", "GET /", "Cookie: beta=no", "app"},
			{"news", "GET /", "User-Agent: curl/8.5.0", "news-feed"},
			{"news", "GET /", phone, "news-mobile"},
			{"news", "GET /", desktop, "news"},
			{"shop", "GET /", "", "shop-de"}, // from this machine
			{"shop", "GET /", "X-Forwarded-For: 192.0.2.1", "shop-de"},
			{"shop", "GET /", "X-Forwarded-For: 198.51.100.1", "shop-eu"},
			{"shop", "GET /", "X-Forwarded-For: 203.0.113.1", "shop"},
			{"shop", "GET /", "X-Forwarded-For: 8.8.8.8", "shop"},
			{"api", "GET /", "", "api"},
			{"api", "POST /", "", "api-write"},
			{"api", "GET /?version=2.1", "", "api-next"},
			{"api", "GET /?version=3", "", "api"},
			{"api", "GET /", "X-Version: 2", "api-next"},
			{"api", "GET /users/7/photo", "", "photos"},
			{"api", "GET /users/me/photo", "", "api"},
			{"api", "GET /photos", "", "photos"},
			{"api", "GET /photos/7", "", "api"},
			{"api", "GET /photos", "X-Forwarded-For: 10.8.0.2", "api-vpn"},
			{"api", "GET /photos", "X-Forwarded-For: 10.8.0.1", "photos"},
		} {
			method, path, _ := strings.Cut(tc.target, " ")
			eventually(t, func() error { // each container gets its route when it is up
				resp, _, what, err := e.send(c, method, tc.host+"."+e.suffix, path, tc.field)
				if err == nil && what.Name != tc.want {
					err = fmt.Errorf("%s of %s with %q reaches %q (%s), want %s", tc.target, tc.host, tc.field, what.Name, resp.Status, tc.want)
				}
				return err
			})
		}
		e.preview(t)
	})
}

// preview asks for hosts that fit a pattern, over plain HTTP. Each Portway of this test
// sees the containers of all, so the pattern is for this one's.
func (e *example) preview(t *testing.T) {
	t.Helper()
	e.change(t, "compose.yaml", "preview[.].*", "preview[.]"+e.suffix)
	e.mustRun(t, "up", "-d")
	for host, want := range map[string]int{"pr-7.preview." + e.suffix: http.StatusOK, "pr-x.preview." + e.suffix: http.StatusNotFound} {
		eventually(t, func() error {
			req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", e.http), nil)
			if err != nil {
				return err
			}
			req.Host = host
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				return fmt.Errorf("%s is answered %s, want %d", host, resp.Status, want)
			}
			return nil
		})
	}
}
