package h1

import (
	"math/rand/v2"
	"testing"
)

// ValidName looks at eight bytes at once, and must find what byte by byte is found.
func TestValidNameAgainstModel(t *testing.T) {
	t.Parallel()
	const usual = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-"
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := make([]byte, 1+r.IntN(30))
		for i := range b {
			b[i] = usual[r.IntN(len(usual))]
		}
		if !ValidName(b) {
			t.Fatalf("%q is no name", b)
		}
		b[r.IntN(len(b))] = byte(r.Uint32())
		if got, want := ValidName(b), all(b, isToken); got != want {
			t.Fatalf("ValidName(%q) = %v", b, got)
		}
	}
	for c := range 256 { // each byte at each place
		for i := range 8 {
			b := []byte("abcdefgh")
			b[i] = byte(c)
			if got, want := ValidName(b), all(b, isToken); got != want {
				t.Fatalf("ValidName(%q) = %v", b, got)
			}
		}
	}
}
