package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"portway/certs"
	"portway/doctor"
)

// TestDoctorHosts: without a running Portway, hosts are those that one would serve.
func TestDoctorHosts(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const text = `
a: {host: "www.example.com, example.com", to: "http://192.0.2.1"}
b: {host: "www.example.com", path: /b, to: "http://192.0.2.1"}
c: {host: "nas.lan, 192.0.2.7, *.example.org", to: "http://192.0.2.1"}
`
	if err := os.WriteFile(filepath.Join(folder, "routes.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &runCmd{Routes: folder}
	if got := r.hosts(t.Context(), nil, off); !slices.Equal(got, []string{"*.example.org", "example.com", "www.example.com"}) {
		t.Errorf("%q", got)
	}
}

// TestDoctorCAs: all that issue certificates are asked, of whom the first must answer.
func TestDoctorCAs(t *testing.T) {
	t.Parallel()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}))
	defer good.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	defined := []certs.CA{{Name: "good", Directory: good.URL}, {Name: "gone", Directory: gone.URL}}
	for _, x := range []struct {
		use  []string
		want string
	}{
		{[]string{"good"}, "good good"}, // it, and the clock
		{[]string{"good", "gone"}, "good good warning"},
		{[]string{"gone", "good"}, "bad good good"},
		{[]string{"good", good.URL}, "good good good"}, // one clock
		{[]string{"nobody"}, "bad"},
		{[]string{"internal"}, ""},
	} {
		var got []string
		for _, f := range (&runCmd{CA: x.use}).askCAs(t.Context(), defined) {
			got = append(got, string(f.Status))
			if f.Status == doctor.Warning && f.Why != "it cannot stand in for good" {
				t.Errorf("%s", f)
			}
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("%q: got %q, want %q", x.use, got, x.want)
		}
	}
}
