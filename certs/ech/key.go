package ech

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"portway/internal/atomicfile"
)

// fileName is that of the file with all keys.
const fileName = "keys.json"

// key is as it is stored. Clients need the configuration byte for byte, so it is not
// made again.
type key struct {
	Config   []byte    `json:"config"`  // ECHConfig
	Private  []byte    `json:"private"` // X25519
	Made     time.Time `json:"made"`
	Replaced time.Time `json:"replaced,omitzero"` // zero: it is in use

	id         uint8
	publicName string
}

// Numbers of RFC 9849 and RFC 9180.
const (
	version          = 0xfe0d
	x25519HKDFSHA256 = 0x0020
	hkdfSHA256       = 0x0001
	aes128GCM        = 0x0001
	chaCha20Poly1305 = 0x0003
)

// maxNameLength is up to where clients hide how long a host's name is. Longer ones can
// be told apart in steps of 32 bytes.
const maxNameLength = 64

// newKey makes a key with an id that none of others has.
func newKey(publicName string, others []*key, now time.Time) (*key, error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var id [1]byte
	for taken := true; taken; {
		_, _ = rand.Read(id[:]) // never fails
		taken = slices.ContainsFunc(others, func(o *key) bool { return o.id == id[0] })
	}
	config, err := encode(id[0], private.PublicKey().Bytes(), publicName)
	if err != nil {
		return nil, err
	}
	return &key{Config: config, Private: private.Bytes(), Made: now, id: id[0], publicName: publicName}, nil
}

// encode makes an ECHConfig (RFC 9849 section 4).
func encode(id uint8, public []byte, publicName string) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16(version)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(id)
		b.AddUint16(x25519HKDFSHA256)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(public) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, aead := range []uint16{aes128GCM, chaCha20Poly1305} {
				b.AddUint16(hkdfSHA256)
				b.AddUint16(aead)
			}
		})
		b.AddUint8(maxNameLength)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(publicName)) })
		b.AddUint16(0) // no extensions
	})
	return b.Bytes()
}

// list makes an ECHConfigList of one.
func list(config []byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(config) })
	return b.BytesOrPanic() // whose length was prefixed by two bytes before
}

var errDamaged = errors.New("it is damaged")

// check looks whether what was stored fits together, since crypto/tls would break
// handshakes over it, and fills in what the configuration says.
func (k *key) check() error {
	private, err := ecdh.X25519().NewPrivateKey(k.Private)
	if err != nil {
		return errDamaged
	}
	s := cryptobyte.String(k.Config)
	var kind, kem uint16
	var body, public, ciphers, name, extensions cryptobyte.String
	var longest uint8
	if !s.ReadUint16(&kind) || kind != version || !s.ReadUint16LengthPrefixed(&body) || !s.Empty() ||
		!body.ReadUint8(&k.id) || !body.ReadUint16(&kem) || kem != x25519HKDFSHA256 ||
		!body.ReadUint16LengthPrefixed(&public) || !bytes.Equal(public, private.PublicKey().Bytes()) ||
		!body.ReadUint16LengthPrefixed(&ciphers) || len(ciphers) == 0 || len(ciphers)%4 != 0 || !body.ReadUint8(&longest) ||
		!body.ReadUint8LengthPrefixed(&name) || CheckName(string(name)) != nil ||
		!body.ReadUint16LengthPrefixed(&extensions) || !extensions.Empty() || !body.Empty() {
		return errDamaged
	}
	k.publicName = string(name)
	return nil
}

// current leaves out keys whose time is over.
func current(keys []*key, now time.Time) []*key {
	return slices.DeleteFunc(slices.Clone(keys), func(k *key) bool {
		return !k.Replaced.IsZero() && !now.Before(k.Replaced.Add(Grace))
	})
}

// succeed gives keys a new one in front.
func succeed(keys []*key, publicName string, now time.Time) ([]*key, error) {
	next, err := newKey(publicName, keys, now)
	if err != nil {
		return nil, err
	}
	all := []*key{next}
	for _, k := range keys {
		old := *k
		if old.Replaced.IsZero() {
			old.Replaced = now
		}
		all = append(all, &old) // not k, which is in use
	}
	return all[:min(len(all), maxKeys)], nil
}

// stored is the content of the file.
type stored struct {
	Keys []*key `json:"keys"`
}

func read(path string) ([]*key, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s stored
	if err := json.Unmarshal(content, &s); err == nil && len(s.Keys) > 0 && s.Keys[0] != nil && s.Keys[0].Replaced.IsZero() {
		for i, k := range s.Keys {
			if k == nil || i > 0 && k.Replaced.IsZero() || k.check() != nil {
				return nil, damaged(path)
			}
		}
		return s.Keys, nil
	}
	return nil, damaged(path)
}

func damaged(path string) error {
	return fmt.Errorf("%s: %w: put it back from a copy, or remove it, and put what portway ech prints then into the DNS", path, errDamaged)
}

func write(path string, keys []*key) error {
	content, err := json.MarshalIndent(stored{keys}, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(content, '\n'), 0o600)
}
