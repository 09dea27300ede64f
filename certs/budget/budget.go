// Package budget keeps account of what was ordered from CAs, so that Portway
// never breaks a limit that they have made public, however often it restarts.
//
// An order is written down before it is made, with all that it can cost; what
// it did not cost is given back when its outcome is known. So a process that is
// killed at any point has counted too much at worst, never too little.
package budget

import (
	"path/filepath"
	"sync"
	"time"

	"portway/internal/atomicfile"
)

// Ledger is the account, in a folder. Several processes may use it at once.
type Ledger struct {
	folder string
	now    func() time.Time
	write  writer

	mu      sync.Mutex // within the process; a lock file guards against others
	waiting []*request
	busy    bool // somebody does what waits
}

// New returns the ledger in folder, which is made at first need.
func New(folder string) *Ledger {
	return &Ledger{folder: folder, now: time.Now, write: atomicfile.Write}
}

// Order is one that is to be made.
type Order struct {
	CA     string   // what tells CAs and accounts apart
	Limits Limits   // of that CA
	Names  []string // of the certificate

	Tries   int  // validations that may fail, each of which takes an order of its own; 0: 1
	Renewal bool // of a certificate with the same names: new ones are limited, this is not one
	Exempt  bool // the CA was told that it replaces one in its time (RFC 9773), which costs nothing
}

func (o Order) tries() int { return max(o.Tries, 1) }

// Wait is the error of an order that may not be made yet.
type Wait struct {
	Until time.Time
	Why   string // a sentence
}

func (w *Wait) Error() string { return w.Why }

// Outcome is what became of an order.
type Outcome struct {
	Issued   bool
	Failures int // failed validations; -1: not known, so that all that could fail counts
}

// longestWait bounds what a CA can make us wait.
const longestWait = 8 * 24 * time.Hour

// Begin writes down that an order is made. The error is a *Wait if it would
// break a limit. Otherwise the caller makes the order, and then calls End.
func (l *Ledger) Begin(o Order) error {
	return l.change(o, func(b *book, now time.Time) error {
		var last time.Time
		var why string
		wait := func(until time.Time, reason string) {
			if until.After(last) {
				last, why = until, reason
			}
		}
		for _, blocked := range b.blocks(o) {
			if blocked.Until.After(now) {
				wait(blocked.Until, blocked.Why)
			}
		}
		var taken []func()
		for _, take := range b.costs(o) {
			after, until := take.bucket.take(take.rate, take.n, now)
			if !until.IsZero() {
				wait(until, take.why())
				continue
			}
			taken = append(taken, func() { take.set(after) })
		}
		if !last.IsZero() {
			return &Wait{Until: last, Why: why}
		}
		for _, set := range taken {
			set()
		}
		if o.Limits != (Limits{}) {
			b.count(now)
		}
		return nil
	})
}

// End says what became of an order that was begun.
func (l *Ledger) End(o Order, outcome Outcome) error {
	if o.Limits == (Limits{}) {
		return nil // Begin wrote nothing down
	}
	return l.change(o, func(b *book, now time.Time) error {
		b.settle(o, outcome, now)
		return nil
	})
}

// Left tells how many new certificates may be ordered now for the domain of
// the order's first name; -1: any number.
func (l *Ledger) Left(o Order) int {
	now := l.now()
	p := read(filepath.Join(l.folder, fileName(o.CA)), Domain(o.Names[0]), o.Limits, now)
	return p.Certificates.left(o.Limits.Certificates, now)
}

// Scope is what a CA's refusal is about.
type Scope int

// The scopes, from narrow to wide.
const (
	OfName    Scope = iota // one name, or set of names
	OfDomain               // a registered domain
	OfAccount              // all that we order from the CA
)

// Refused says that the CA wants no further orders before until, in its own words.
func (l *Ledger) Refused(o Order, scope Scope, until time.Time, words string) error {
	return l.change(o, func(b *book, now time.Time) error {
		if most := now.Add(longestWait); until.After(most) {
			until = most
		}
		b.block(o, scope, block{Until: until, Why: words})
		return nil
	})
}
