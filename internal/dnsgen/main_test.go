package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The code and the page are what lego's list gives.
func TestFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	files, err := render()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		folder := "../../certs/dns"
		if name == pageFile {
			folder = "../../docs"
		}
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate ./certs/dns", name)
		}
	}
}

// What people use most must not need a build of their own.
func TestCommonProvidersAreInEveryBuild(t *testing.T) {
	t.Parallel()
	files, err := render()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"cloudflare", "hetzner", "digitalocean", "ovh", "gandiv5", "namecheap", "porkbun", "desec", "duckdns", "godaddy", "ionos", "inwx", "netcup",
		"scaleway", "route53", "rfc2136", "acme-dns", "exec", "httpreq",
	} {
		if !strings.Contains(string(files[lightFile]), `"`+name+`"`) && len(ourVariables(name)) == 0 {
			t.Errorf("%s is not in every build", name)
		}
	}
	if n := strings.Count(string(files[lightFile]), "NewDNSProvider()"); n < 130 {
		t.Errorf("%d providers in every build, want more than 130", n)
	} else {
		t.Logf("FIGURE: %d DNS providers are in every build", n)
	}
}
