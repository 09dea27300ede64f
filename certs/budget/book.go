package budget

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// page is what is kept about one registered domain, or about the account: a
// file each.
type page struct {
	About        string            `json:"about"`
	Orders       int               `json:"orders"`   // ever
	Failures     int               `json:"failures"` // ever: validations that failed
	LastOrder    time.Time         `json:"last_order"`
	Account      bucket            `json:"account_orders,omitzero"`
	Certificates bucket            `json:"certificates,omitzero"`
	Duplicates   map[string]bucket `json:"duplicates,omitempty"` // by set of names
	Validations  map[string]bucket `json:"validations,omitempty"`
	Block        block             `json:"refused,omitzero"`
	Blocks       map[string]block  `json:"names_refused,omitempty"` // by set of names

	path string
	read []byte // what is in the file
}

// block is a CA's refusal.
type block struct {
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
}

// book is the pages that one order is about.
type book struct {
	account *page
	domains []*page // as domains gives them
}

// accountPage cannot be the name of a domain's file: none begins so.
const accountPage = "_account"

// shelf is the pages that several orders are about, each there once.
type shelf struct {
	folder  string
	limits  Limits
	now     time.Time
	account *page
	domains []*page // in the order in which they were asked for
}

// book gives the pages for one order.
func (s *shelf) book(o Order) *book {
	if s.account == nil {
		s.account = read(s.folder, accountPage, s.limits, s.now)
	}
	b := &book{account: s.account}
	for _, domain := range domains(o.Names) {
		i := slices.IndexFunc(s.domains, func(p *page) bool { return p.About == domain })
		if i < 0 {
			i = len(s.domains)
			s.domains = append(s.domains, read(s.folder, domain, s.limits, s.now))
		}
		b.domains = append(b.domains, s.domains[i])
	}
	return b
}

// read returns the page about something. One that cannot be used is begun
// anew: a damaged file must not stop certificates for ever.
func read(folder, about string, limits Limits, now time.Time) *page {
	name := fileName(about)
	if about == accountPage {
		name = accountPage
	}
	p := &page{path: filepath.Join(folder, name+".json")}
	if data, err := os.ReadFile(p.path); err == nil {
		if parsed, err := parse(data, about); err == nil {
			parsed.path, parsed.read = p.path, data
			p = parsed
		}
	}
	p.About = about
	p.tidy(limits, now)
	return p
}

func parse(data []byte, about string) (*page, error) {
	p := new(page)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, err
	}
	if p.About != about || p.Orders < 0 || p.Failures < 0 {
		return nil, fmt.Errorf("it is about %q, with %d orders and %d failures", p.About, p.Orders, p.Failures)
	}
	return p, nil
}

// tidy forgets what has no effect any more, and what cannot be true.
func (p *page) tidy(l Limits, now time.Time) {
	p.Account = p.Account.sane(l.Orders, now)
	p.Certificates = p.Certificates.sane(l.Certificates, now)
	for key, b := range p.Duplicates {
		p.Duplicates[key] = b.sane(l.Duplicates, now)
	}
	for key, b := range p.Validations {
		p.Validations[key] = b.sane(l.Failures, now)
	}
	over := func(_ string, b bucket) bool { return !b.After(now) }
	maps.DeleteFunc(p.Duplicates, over)
	maps.DeleteFunc(p.Validations, over)
	ended := func(b block) bool { return !b.Until.After(now) || b.Until.Sub(now) > longestWait }
	maps.DeleteFunc(p.Blocks, func(_ string, b block) bool { return ended(b) })
	if ended(p.Block) {
		p.Block = block{}
	}
	if p.Duplicates == nil {
		p.Duplicates = make(map[string]bucket)
	}
	if p.Validations == nil {
		p.Validations = make(map[string]bucket)
	}
	if p.Blocks == nil {
		p.Blocks = make(map[string]block)
	}
}

// writer puts a file in its place so that a crash leaves no half of it.
type writer func(path string, data []byte, perm fs.FileMode) error

// save writes the account first: a crash between the files has counted an
// order that was not made.
func (s *shelf) save(write writer) error {
	for _, p := range append([]*page{s.account}, s.domains...) {
		p.tidy(s.limits, s.now)
		data, err := json.MarshalIndent(p, "", "\t")
		if err == nil && !bytes.Equal(data, p.read) {
			err = write(p.path, data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
