package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"portway/certs"
)

func TestCADefinitions(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("c2VjcmV0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := settingsFile(t, `
ca: [corp, zerossl]
ca-option:
- corp.directory=https://ca.example.com/acme/directory
- corp.roots=/etc/corp.pem
- corp.chain=Corp Root X1, Corp Root X2
- zerossl.eab-kid=abc
- zerossl.eab-key=file:`+key+`
- zerossl.profile=short
`)
	inv, err := parse([]string{"--config=" + file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := inv.cli.Run.cas(inv)
	want := []certs.CA{
		{Name: "corp", Directory: "https://ca.example.com/acme/directory", Roots: "/etc/corp.pem", PreferredChain: []string{"Corp Root X1", "Corp Root X2"}},
		{Name: "zerossl", EABKeyID: "abc", EABKey: "c2VjcmV0", Profile: "short"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if use := inv.cli.Run.CA; !reflect.DeepEqual(use, []string{"corp", "zerossl"}) {
		t.Errorf("in use: %v", use)
	}
}

func TestWrongCADefinitions(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]string{
		"directory=x":                `--ca-option: "directory" is not of the form NAME.OPTION`,
		"Corp.directory=x":           "names have a-z",
		"corp.directroy=x":           "did you mean corp.directory?",
		"zerossl.eab-key=file:/none": "zerossl.eab-key",
	} {
		if _, err := parse([]string{"--ca-option=" + option}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", option, err, want)
		}
	}
	if _, err := parse([]string{"--ca=zerossl", "--acme-staging"}, nil); err == nil || !strings.Contains(err.Error(), "--acme-staging and --ca: choose one, both name a CA") {
		t.Errorf("two CAs: %v", err)
	}
}
