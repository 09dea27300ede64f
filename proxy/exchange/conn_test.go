package exchange

import (
	"encoding/hex"
	"net/netip"
	"testing"
)

// The client's address is the same text, whether it was made before or is made now.
func TestClientIPText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ remote, client, want string }{
		{"192.0.2.1:99", "192.0.2.1", "192.0.2.1"},
		{"[::ffff:192.0.2.1]:99", "192.0.2.1", "192.0.2.1"},
		{"[2001:db8::1]:99", "2001:db8::1", "2001:db8::1"},
		{"[fe80::1%eth0]:99", "fe80::1", "fe80::1"},
		{"192.0.2.1:99", "203.0.113.5", "203.0.113.5"}, // behind a trusted proxy
		{"192.0.2.1:99", "", ""},
	} {
		conn := &Conn{Remote: netip.MustParseAddrPort(tc.remote)}
		peer := conn.Peer()
		for range 2 {
			ex := &Exchange{Conn: conn}
			if tc.client != "" {
				ex.ClientIP = netip.MustParseAddr(tc.client)
			}
			if a, b := string(ex.AppendClientIP(nil)), string(ex.ClientIPText()); a != tc.want || b != tc.want {
				t.Errorf("%+v: appended %q, given %q", tc, a, b)
			}
			if conn.Peer() != peer {
				t.Errorf("%+v: the peer is %v and %v", tc, peer, conn.Peer())
			}
			conn.Describe()
		}
	}
	if text := (&Conn{}).Describe().peerText; text != nil {
		t.Errorf("an address that is not known is %q", text)
	}
}

func TestHex8(t *testing.T) {
	t.Parallel()
	for _, x := range []uint32{0, 1, 0x09afbecd, 0x12345678, 0xfedcba90, 0xffffffff} {
		var got [8]byte
		for i, y := 7, hex8(x); i >= 0; i, y = i-1, y>>8 {
			got[i] = byte(y)
		}
		if want := hex.EncodeToString([]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}); string(got[:]) != want {
			t.Errorf("%x is written %s", x, got)
		}
	}
}
