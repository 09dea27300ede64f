package cache

import (
	"encoding/binary"
	"hash/fnv"
	"reflect"
	"strings"
	"time"

	"portway/proxy/cache/disk"
	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// codecVersion begins each encoded object. What another version has written is dropped.
const codecVersion = 1

// encode writes down all of o but its content; ok is false if that cannot be done.
func encode(key string, o *object) (b []byte, ok bool) {
	// What a response says of its own control may be among what is not stored.
	if !reflect.DeepEqual(policy.ParseResponse(&o.fields), o.control) {
		return nil, false
	}
	b = append(make([]byte, 0, 512), codecVersion)
	b = binary.AppendUvarint(b, uint64(o.status))
	b = binary.AppendVarint(b, o.received.UnixNano())
	for _, d := range [...]time.Duration{o.fresh.Lifetime, o.fresh.InitialAge, o.aged} {
		b = binary.AppendVarint(b, int64(d))
	}
	explicit := byte(0)
	if o.fresh.Explicit {
		explicit = 1
	}
	b = append(b, explicit)
	b = appendBytes(b, key)
	b = appendBytes(b, o.extra)
	b = binary.AppendUvarint(b, uint64(len(o.vary)))
	for _, name := range o.vary {
		b = appendBytes(b, name)
	}
	b = appendBytes(b, o.values)
	b = appendList(b, &o.fields)
	return appendList(b, &o.content.trailers), true
}

func appendBytes[B string | []byte](dst []byte, b B) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendList(dst []byte, f *exchange.Fields) []byte {
	dst = binary.AppendUvarint(dst, uint64(f.Len()))
	for name, value := range f.All() {
		dst = appendBytes(appendBytes(dst, name), value)
	}
	return dst
}

// decode is the object that was stored by key, without its content.
func decode(meta []byte, key string) (*object, bool) {
	k, o, ok := parse(meta)
	return o, ok && k == key
}

// parse reads what encode has written. The object refers to b.
func parse(b []byte) (key string, o *object, ok bool) {
	d := decoder{rest: b}
	if d.byte() != codecVersion {
		return "", nil, false
	}
	o = &object{status: int(d.uvarint()), length: unknown, content: newContent()}
	o.received = time.Unix(0, d.varint())
	o.fresh.Lifetime, o.fresh.InitialAge, o.aged = time.Duration(d.varint()), time.Duration(d.varint()), time.Duration(d.varint())
	o.fresh.Explicit = d.byte() == 1
	key = string(d.bytes())
	o.extra = d.bytes()
	for n := d.count(); n > 0; n-- {
		o.vary = append(o.vary, string(d.bytes()))
	}
	o.values = d.bytes()
	d.list(&o.fields)
	d.list(&o.content.trailers)
	if d.bad || len(d.rest) > 0 || o.status < 200 || o.status > 599 {
		return "", nil, false
	}
	o.control = policy.ParseResponse(&o.fields)
	o.tags = tagsOf(&o.fields)
	return key, o, true
}

// decoder reads what there is; once something is wrong, there is nothing.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) fail() { d.rest, d.bad = nil, true }

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// count is a number of things of at least a byte each.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.count()
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) list(f *exchange.Fields) {
	for n := d.count(); n > 0; n-- {
		name := d.bytes()
		f.Add(name, d.bytes())
	}
}

// hintsOf are by which a purge can tell that it is not about what is on disk.
func hintsOf(key string, tags [][]byte) disk.Hints {
	_, address, _ := strings.Cut(key, "\n")
	h := addressHints(address)
	for _, t := range tags {
		h.Tags |= tagBits(t)
	}
	return h
}

// addressHints are those of host, line feed, path and query.
func addressHints(address string) disk.Hints {
	host, _, _ := strings.Cut(address, "\n")
	return disk.Hints{Host: hash32(host), Address: hash32(address)}
}

func hash32(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return h.Sum32()
}

// tagBits are two of 64.
func tagBits(tag []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(tag)
	n := h.Sum64()
	return 1<<(n>>58) | 1<<(n>>8&63)
}

// may tells whether r can be about what has those hints.
func (r *rule) may(h disk.Hints) bool {
	switch {
	case r.all:
		return true
	case r.tag != nil:
		bits := tagBits(r.tag)
		return h.Tags&bits == bits
	}
	own := addressHints(string(r.address))
	if r.prefix {
		return h.Host == own.Host
	}
	return h.Address == own.Address
}
