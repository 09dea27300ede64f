package dnstest_test

import (
	"slices"
	"testing"

	"portway/internal/dnstest"
)

func TestUpdates(t *testing.T) {
	t.Parallel()
	second := dnstest.Start(t, map[string]string{"example.com": ""})
	s := dnstest.Start(t, map[string]string{"example.com": "a TXT before", "example.net": ""}, second)
	if err := s.Add("example.com", "a.example.com", "x"); err != nil {
		t.Fatal(err)
	}
	if got := s.TXT("a.example.com"); !slices.Equal(got, []string{"before", "x"}) {
		t.Errorf("got %q", got)
	}
	if got := second.TXT("a.example.com"); len(got) != 0 {
		t.Errorf("the other server has %q", got)
	}
	if err := s.Remove("example.com", "a.example.com", "x"); err != nil {
		t.Fatal(err)
	}
	if got := s.TXT("a.example.com"); !slices.Equal(got, []string{"before"}) {
		t.Errorf("got %q", got)
	}
	s.KeySecret = second.KeySecret
	if err := s.Add("example.com", "a.example.com", "y"); err == nil {
		t.Error("an update with a wrong key was taken")
	}
}
