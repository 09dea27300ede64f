package label_test

import (
	"net/netip"
	"testing"

	"portway/label"
)

func TestRanges(t *testing.T) {
	t.Parallel()
	var r label.Ranges
	for _, item := range []string{"192.0.2.0/24", "2001:db8::1", "::ffff:203.0.113.7"} {
		if err := r.Add(item); err != nil {
			t.Error(err)
		}
	}
	for address, want := range map[string]bool{
		"192.0.2.255": true, "::ffff:192.0.2.1": true, "192.0.3.0": false, "2001:db8::1": true, "2001:db8::1%eth0": true, "2001:db8::2": false, "203.0.113.7": true,
	} {
		if r.Contain(netip.MustParseAddr(address)) != want {
			t.Errorf("%s: not %v", address, want)
		}
	}
	if err := r.Add("private"); err != nil || !r.Contain(netip.MustParseAddr("10.1.2.3")) || r.Contain(netip.MustParseAddr("8.8.8.8")) {
		t.Errorf("private: %v", err)
	}
	for item, want := range map[string]string{
		"example":           `"example" is neither an address nor a range; write for example 192.0.2.1, 10.0.0.0/8, 2001:db8::/32 or private`,
		"fe80::1%eth0":      `"fe80::1%eth0" is neither an address nor a range; write for example 192.0.2.1, 10.0.0.0/8, 2001:db8::/32 or private`,
		"10.0.0.1/8":        `"10.0.0.1/8" has bits set behind its prefix length; write 10.0.0.0/8 for the range, or 10.0.0.1 for the address`,
		"::ffff:10.0.0.0/9": `"::ffff:10.0.0.0/9" is an IPv4 range in IPv6 form; write it as IPv4, for example 10.0.0.0/8`,
	} {
		if err := r.Add(item); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", item, err, want)
		}
	}
}
