// Package ech keeps the keys of Encrypted ClientHello (RFC 9849), by which clients hide
// from the network which of our hosts they visit: it makes, stores and rotates them, and
// says what belongs into the DNS (RFC 9848).
package ech

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"portway/internal/atomicfile"
)

const (
	// Grace is how long a key is accepted after another one has taken its place: the
	// DNS is changed by people, and remembered by resolvers. Who comes later with an
	// old key is told the new one in the handshake.
	Grace = 7 * 24 * time.Hour
	// maxKeys bounds what a hello is tried with, one key after the other.
	maxKeys = 8
	// look is how often the file is read again: another Portway may have the same
	// storage, such as a successor.
	look = time.Minute
)

// Keys are the keys for one public name. The methods may be called from any goroutine.
type Keys struct {
	folder, publicName string
	log                *slog.Logger

	mu      sync.Mutex // held while the file is read and written
	trouble string     // what Run has logged last
	ring    atomic.Pointer[keyring]
}

// keyring is what is stored; it does not change.
type keyring struct {
	keys     []*key // the one in use first
	accepted []tls.EncryptedClientHelloKey
}

// Open reads the keys from folder, where it makes the first one if there is none for
// publicName.
func Open(folder, publicName string, logger *slog.Logger) (*Keys, error) {
	k := &Keys{folder: folder, publicName: publicName, log: logger}
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = k.change(false)
	}
	if err != nil {
		return nil, fmt.Errorf("the keys of Encrypted ClientHello cannot be used: %w", err)
	}
	return k, nil
}

// Rotate puts another key in place of the one in use, which is accepted for Grace.
func (k *Keys) Rotate() error {
	if err := k.change(true); err != nil {
		return fmt.Errorf("the keys of Encrypted ClientHello stay as they are: %w", err)
	}
	return nil
}

// Run follows the file, and forgets old keys, until ctx is done.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := k.change(false)
		if err == nil {
			k.trouble = ""
		} else if err.Error() != k.trouble {
			k.trouble = err.Error()
			k.log.Error("The keys of Encrypted ClientHello cannot be looked after; those that are known are still accepted.", "error", err)
		}
	}
}

// change reads the file, does what has to be done, and writes it if that was anything.
func (k *Keys) change(rotate bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	unlock, err := atomicfile.Lock(k.folder)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(k.folder, fileName)
	keys, err := read(path)
	if errors.Is(err, fs.ErrNotExist) && k.ring.Load() != nil {
		return fmt.Errorf("%s is gone: restart Portway to have new keys, or put it back", path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now := time.Now()
	kept := current(keys, now)
	// Another name is looked at when we begin only: others may have another setting.
	if opening := k.ring.Load() == nil; rotate || len(kept) == 0 || opening && kept[0].publicName != k.publicName {
		if kept, err = succeed(kept, k.publicName, now); err != nil {
			return err
		}
		if err := write(path, kept); err != nil {
			return err // a key that might be lost is not offered
		}
		k.log.Info("There is a new key for Encrypted ClientHello.", "public_name", k.publicName, "id", kept[0].id,
			"fix", "put what portway ech prints into the DNS")
	} else if len(kept) < len(keys) {
		err = write(path, kept)
	}
	k.ring.Store(newKeyring(kept))
	return err
}

func newKeyring(keys []*key) *keyring {
	r := &keyring{keys: keys}
	for i, x := range keys {
		r.accepted = append(r.accepted, tls.EncryptedClientHelloKey{Config: x.Config, PrivateKey: x.Private, SendAsRetry: i == 0})
	}
	return r
}

// Accepted gives the keys to handshakes, as tls.Config.GetEncryptedClientHelloKeys.
func (k *Keys) Accepted(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	return k.ring.Load().accepted, nil
}

// State is what there is to know about the keys.
type State struct {
	PublicName string
	ConfigList []byte // for the DNS
	ID         uint8  // of the key in use
	Made       time.Time
	Old        []Old
}

// Old is a key that is not in use any more.
type Old struct {
	ID    uint8
	Until time.Time // then it is not accepted any more
}

// State tells about the keys.
func (k *Keys) State() State {
	keys := k.ring.Load().keys
	s := State{PublicName: keys[0].publicName, ConfigList: list(keys[0].Config), ID: keys[0].id, Made: keys[0].Made}
	for _, x := range keys[1:] {
		s.Old = append(s.Old, Old{ID: x.id, Until: x.Replaced.Add(Grace)})
	}
	return s
}
