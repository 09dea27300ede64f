package exchange

import (
	"strings"
	"testing"
)

func TestTold(t *testing.T) {
	t.Parallel()
	var told Told
	expect := func(host, addr, forwarded string, ok bool) {
		t.Helper()
		a, f, known := told.For([]byte(host))
		if string(a) != addr || string(f) != forwarded || known != ok {
			t.Errorf("%s: %q, %q, %t", host, a, f, known)
		}
	}
	expect("a.test", "", "", false)
	told.Keep([]byte(strings.Repeat("a", maxToldHost+1)), nil, nil)
	host, addr, forwarded := []byte("a.test"), []byte("192.0.2.1"), []byte("for=192.0.2.1")
	told.Keep(host, addr, forwarded)
	host[0], addr[0], forwarded[0] = 'x', 'x', 'x' // it is the exchange's memory
	expect("a.test", "192.0.2.1", "for=192.0.2.1", true)
	told.Keep([]byte("b.test"), addr, forwarded)
	expect("b.test", "", "", false)
	expect("a.test", "192.0.2.1", "for=192.0.2.1", true)
	if a, _, _ := told.For([]byte("a.test")); cap(a) != len(a) {
		t.Error("what is appended to the one goes into the other")
	}
	var none *Told
	none.Keep([]byte("a.test"), nil, nil)
	if _, _, ok := none.For([]byte("a.test")); ok {
		t.Error("kept by nothing")
	}
}
