package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"time"

	"github.com/caddyserver/certmagic"
)

// backoff says how long to wait after failures: base after the first, twice as
// long after each further one, at most limit; and a little more at random, so
// that names that failed together do not come back together.
type backoff struct {
	base, limit time.Duration
}

func (b backoff) delay(failures int) time.Duration {
	d := b.base
	for i := 1; i < failures && d < b.limit; i++ {
		d *= 2
	}
	d = min(d, b.limit)
	return d + rand.N(d/10+1)
}

// Bounds of what a CA or a file may ask for.
const (
	longestWait = 8 * 24 * time.Hour // Let's Encrypt's limits are per week
	unnamedWait = time.Hour          // after "rate limited" without a time
)

// record is what outlasts a restart about a name's failures.
type record struct {
	Name     string    `json:"name"`
	Attempts int       `json:"attempts"` // failed in a row
	LastTry  time.Time `json:"last_try"`
	NextTry  time.Time `json:"next_try"`
	Error    string    `json:"error"`

	NotBefore time.Time `json:"not_before,omitzero"` // when the CA wants the next try at the earliest, if it said so
	Elsewhere bool      `json:"elsewhere,omitempty"` // another CA may do better
}

// begun is the record while a try is under way. It stands if Portway is killed
// meanwhile, so that a restart loop slows down as well; but one restart at the
// wrong moment costs seconds only.
func (r record) begun(now time.Time, b backoff) record {
	r.Attempts++
	r.LastTry = now
	r.NextTry = now.Add(b.delay(r.Attempts) / 12)
	r.Error = "The last try did not finish, since Portway stopped meanwhile."
	r.NotBefore, r.Elsewhere = time.Time{}, false
	return r
}

// failed is the record after the begun try failed. wait is what the CA asked
// for, or 0.
func (r record) failed(now time.Time, b backoff, wait time.Duration, reason string) record {
	wait = min(wait, longestWait)
	if wait > 0 {
		r.NotBefore = now.Add(wait)
	}
	r.NextTry = now.Add(max(b.delay(r.Attempts), wait))
	r.Error = reason
	return r
}

// absent is the record while the name has no address in the DNS.
func (r record) absent(name string, now, next time.Time, why string) record {
	return record{Name: name, Attempts: max(r.Attempts, 1), LastTry: now, NextTry: next, Error: why}
}

// parseRecord reads the record of name. It is strict: a record that is not
// ours, or makes no sense, is an error.
func parseRecord(data []byte, name string) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, err
	}
	switch {
	case r.Name != name:
		return record{}, fmt.Errorf("it is about %q", r.Name)
	case r.Attempts < 1:
		return record{}, fmt.Errorf("%d attempts", r.Attempts)
	case r.NextTry.IsZero() || r.NextTry.Before(r.LastTry) || r.NextTry.Sub(r.LastTry) > 2*longestWait:
		return record{}, fmt.Errorf("the next try at %v after one at %v", r.NextTry, r.LastTry)
	}
	return r, nil
}

// ledger keeps the records of one CA in the storage.
type ledger struct {
	storage certmagic.Storage
	issuer  string // as certmagic.Issuer's IssuerKey gives it
}

func (l ledger) key(name string) string {
	return path.Join("failures", certmagic.StorageKeys.Safe(l.issuer), certmagic.StorageKeys.Safe(name)+".json")
}

// load returns the record of name, the zero record if there is none. With an
// error the record is zero too.
func (l ledger) load(ctx context.Context, name string) (record, error) {
	data, err := l.storage.Load(ctx, l.key(name))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	r, err := parseRecord(data, name)
	if err != nil {
		return record{}, fmt.Errorf("%s: %w", l.key(name), err)
	}
	return r, nil
}

func (l ledger) save(ctx context.Context, r record) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return l.storage.Store(ctx, l.key(r.Name), data)
}

// clear forgets the record of name.
func (l ledger) clear(ctx context.Context, name string) error {
	return l.storage.Delete(ctx, l.key(name))
}
