package h2

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"portway/proxy/exchange"
)

// decodeAll decodes a block by x/net's decoder.
func decodeAll(t testing.TB, d *hpack.Decoder, block []byte) []hpack.HeaderField {
	t.Helper()
	fields, err := d.DecodeFull(block)
	if err != nil {
		t.Fatalf("%x: %v", block, err)
	}
	return fields
}

// TestEncoder sends random fields through our encoder and x/net's decoder, with
// the peer's table shrinking and growing in between.
func TestEncoder(t *testing.T) {
	t.Parallel()
	names := []string{"Content-Type", "server", "X-Unknown", "Set-Cookie", "cache-control", "grpc-status", "etag", "date", "x-frame-options", "content-security-policy"}
	var lines []*exchange.Line
	for i, name := range slices.Repeat(names, 4) {
		lines = append(lines, exchange.NewLine(name, strings.Repeat("x", i*i%70)))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		var e encoder
		e.init()
		if round%2 == 1 {
			e.added = math.MaxUint32 - 30 // numbers of entries begin anew
		}
		d := hpack.NewDecoder(peerTable, nil)
		for i := range 200 {
			if rnd.IntN(20) == 0 {
				size := rnd.Uint32N(6000)
				e.setPeerTable(size)
				d.SetAllowedMaxDynamicTableSize(max(size, e.smallest))
			}
			var want []string
			block := e.begin(nil)
			status := []int{200, 204, 404, 418, 599}[rnd.IntN(5)]
			block = e.status(block, status)
			want = append(want, fmt.Sprintf(":status=%d", status))
			if rnd.IntN(2) == 0 {
				n := rnd.Int64()
				block = e.contentLength(block, n)
				want = append(want, fmt.Sprintf("content-length=%d", n))
			}
			for range rnd.IntN(8) {
				name := names[rnd.IntN(len(names))]
				value := strings.Repeat(string(rune('a'+rnd.IntN(26))), rnd.IntN(30)*rnd.IntN(30))
				if rnd.IntN(2) == 0 {
					value = strings.Repeat("x", rnd.IntN(3)) // one that was there before, perhaps
				}
				if l := lines[rnd.IntN(len(lines))]; rnd.IntN(2) == 0 {
					block = e.line(block, l)
					want = append(want, strings.ToLower(string(l.Name()))+"="+string(l.Value()))
					continue
				}
				block = e.field(block, []byte(name), []byte(value))
				want = append(want, strings.ToLower(name)+"="+value)
			}
			var got []string
			for _, f := range decodeAll(t, d, block) {
				got = append(got, f.Name+"="+f.Value)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("round %d, block %d:\ngot  %q\nwant %q", round, i, got, want)
			}
		}
	}
}

// TestEncoderPolicy looks at how fields go over the wire.
func TestEncoderPolicy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, value   string
		first, second string // kind of representation when sent once and again
	}{
		{"server", "x", "added", "index"},
		{"Content-Type", "text/html", "added", "index"},
		{"x-frame-options", "DENY", "added", "index"},
		{"grpc-status", "0", "added", "index"},
		{"set-cookie", "secret=1", "never", "never"},
		{"authorization", "Basic x", "never", "never"},
		{"x-api-key", "x", "never", "never"},
		{"etag", `"x"`, "literal", "literal"},
		{"x-unknown", "x", "literal", "literal"},
		{"content-security-policy", strings.Repeat("x", maxIndexed+1), "literal", "literal"},
		{"connection", "close", "", ""},
		{"transfer-encoding", "chunked", "", ""},
		{"Keep-Alive", "1", "", ""},
		{"content-length", "1", "", ""},
		{"bad name", "x", "", ""},
		{":status", "200", "", ""},
		{"", "x", "", ""},
		{"x", "a\nb", "", ""},
		{"x", " a", "", ""},
		{strings.Repeat("long-name-", 20), "x", "literal", "literal"},
	} {
		var e encoder
		e.init()
		for _, want := range []string{tt.first, tt.second} {
			if got := kind(e.field(nil, []byte(tt.name), []byte(tt.value))); got != want {
				t.Errorf("%.40s: %.40s: %q, want %q", tt.name, tt.value, got, want)
			}
		}
	}
}

// What a label asks for is indexed whatever its name is, unless it is a secret, and
// however many of it there are.
func TestEncoderLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, value, first, second string }{
		{"X-Served-By", "us", "added", "index"},
		{"Vary", "Origin", "added", "index"},
		{"X-Empty", "", "added", "index"},
		{"Set-Cookie", "a=b", "never", "never"},
		{"X-Long", strings.Repeat("x", maxIndexed+1), "literal", "literal"},
		{"HTTP2-Settings", "x", "", ""},
	} {
		var e encoder
		e.init()
		l := exchange.NewLine(tt.name, tt.value)
		for _, want := range []string{tt.first, tt.second} {
			if got := kind(e.line(nil, l)); got != want {
				t.Errorf("%s: %.40s: %q, want %q", tt.name, tt.value, got, want)
			}
		}
	}
	var e encoder
	e.init()
	lines := make([]*exchange.Line, 20)
	for i := range lines {
		lines[i] = exchange.NewLine("X-Line", fmt.Sprint(i))
		if got := kind(e.line(nil, lines[i])); got != "added" {
			t.Errorf("line %d: %q", i, got)
		}
	}
	// The value of a line must not be overwritten when its entry is used for another field.
	for i := range 10 * maxEntries {
		e.field(nil, []byte("server"), fmt.Appendf(nil, "%08d", i))
	}
	for i, l := range lines {
		if string(l.Value()) != fmt.Sprint(i) {
			t.Errorf("line %d has become %q", i, l.Value())
		}
	}
}

// Values that take turns are found, each under its own number.
func TestEncoderTurns(t *testing.T) {
	t.Parallel()
	var e encoder
	e.init()
	for i := range 3 {
		for _, value := range []string{"text/html", "image/png", "text/css"} {
			if got := kind(e.field(nil, []byte("content-type"), []byte(value))); (got == "index") != (i > 0) {
				t.Errorf("round %d: %s is %q", i, value, got)
			}
		}
	}
}

// kind names the representation that b begins with (RFC 7541 section 6).
func kind(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case b[0]&0x80 != 0:
		return "index"
	case b[0]&0xc0 == 0x40:
		return "added"
	case b[0]&0xf0 == 0x10:
		return "never"
	case b[0]&0xf0 == 0:
		return "literal"
	}
	return "size"
}

// TestKnownNames checks the static indices against x/net's table.
func TestKnownNames(t *testing.T) {
	t.Parallel()
	d := hpack.NewDecoder(peerTable, nil)
	seen := make(map[nameID]string)
	for name, k := range known {
		if other, ok := seen[k.id]; ok {
			t.Errorf("%s and %s share an ID", name, other)
		}
		seen[k.id] = name
		for _, written := range []string{name, strings.ToUpper(name)} {
			if found := lookUp([]byte(written)); found == nil || *found != k {
				t.Errorf("%s is found as %v", written, found)
			}
		}
		if name != strings.ToLower(name) {
			t.Errorf("%s is not in lower case", name)
		}
		if k.static > 0 {
			if f := decodeAll(t, d, []byte{0x80 | k.static}); f[0].Name != name {
				t.Errorf("static index of %s is that of %s", name, f[0].Name)
			}
		} else if f := decodeAll(t, d, appendString(appendName(nil, 0, 4, 0, name), "")); f[0].Name != name {
			t.Errorf("%s becomes %s", name, f[0].Name)
		}
	}
}
