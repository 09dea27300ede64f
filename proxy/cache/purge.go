package cache

import (
	"bytes"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"portway/proxy/exchange"
)

// Purge says what is to be dropped, whatever route has stored it. Exactly one of its
// fields is given.
type Purge struct {
	URL    string // one address, with its query
	Prefix string // all addresses that begin like this one
	Tag    string // answers with that word in Surrogate-Key or Cache-Tag
	All    bool
}

// rule is a Purge, ready to be held against what is stored.
type rule struct {
	address []byte // host, line feed, path and query
	prefix  bool
	tag     []byte
	all     bool
}

// purges are the rules that were given. An object is held against those that came
// after it when it is looked up: a purge takes as long however much is stored.
type purges struct {
	given atomic.Uint64 // how many there were
	mu    sync.RWMutex
	last  []rule // the last of them
}

// maxPurges bounds the rules that are remembered. What is older than all of them is
// dropped, since nobody knows any more whether it was purged.
const maxPurges = 1000

var errPurge = errors.New("a purge needs one of url, prefix, tag and all")

// Purge drops what p says, and what is on its way. It returns how many answers that
// were.
func (c *Cache) Purge(p Purge) (int, error) {
	r, err := p.rule()
	if err != nil {
		return 0, err
	}
	c.purges.add(r)
	dropped := 0
	for _, resource := range c.memory.resources.All() {
		if left := c.purges.check(c, resource); left == nil {
			dropped += len(resource.variants)
		} else {
			dropped += len(resource.variants) - len(left.variants)
		}
	}
	return dropped + c.disk.purge(), nil
}

func (p Purge) rule() (rule, error) {
	given := 0
	for _, is := range []bool{p.URL != "", p.Prefix != "", p.Tag != "", p.All} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return rule{}, errPurge
	case p.All:
		return rule{all: true}, nil
	case p.Tag != "":
		return rule{tag: []byte(p.Tag)}, nil
	}
	address := p.URL + p.Prefix
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return rule{}, errors.New(address + " is no address: write it with its scheme and host, for example https://www.example.com/news/")
	}
	// As it was written: what is stored is, too.
	_, rest, _ := strings.Cut(address, "://")
	host, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		if host, path = rest[:i], rest[i:]; path[0] == '?' {
			path = "/" + path
		}
	}
	return rule{address: []byte(strings.ToLower(host) + "\n" + path), prefix: p.Prefix != ""}, nil
}

// fits tells whether r is about o, which is stored by key.
func (r *rule) fits(key string, o *object) bool {
	switch {
	case r.all:
		return true
	case r.tag != nil:
		for _, t := range o.tags {
			if bytes.Equal(t, r.tag) {
				return true
			}
		}
		return false
	}
	_, address, _ := strings.Cut(key, "\n")
	return address == string(r.address) || r.prefix && strings.HasPrefix(address, string(r.address))
}

func (p *purges) count() uint64 { return p.given.Load() }

func (p *purges) add(r rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.last) == maxPurges {
		p.last = append(p.last[:0:0], p.last[1:]...)
	}
	p.last = append(p.last, r)
	p.given.Add(1)
}

// since gives the rules that came after the first n, and how many there are now.
func (p *purges) since(n uint64) ([]rule, uint64) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	given := p.given.Load()
	if missed := given - n; missed <= uint64(len(p.last)) {
		return slices.Clone(p.last[uint64(len(p.last))-missed:]), given
	}
	return []rule{{all: true}}, given
}

// check gives r without what was purged, and drops that; nil if nothing is left.
func (p *purges) check(c *Cache, r *resource) *resource {
	given := p.given.Load()
	for _, o := range r.variants {
		if o.purges.Load() != given && p.fits(r.key, o) {
			c.replace(r.key, o, nil)
			if r = r.without(o); r == nil {
				return nil
			}
		}
	}
	return r
}

// fits tells whether o is purged; if not, it need not be asked again.
func (p *purges) fits(key string, o *object) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	given := p.given.Load()
	missed := given - o.purges.Load()
	if missed > uint64(len(p.last)) {
		return true
	}
	for i := range p.last[uint64(len(p.last))-missed:] {
		if p.last[uint64(len(p.last))-missed+uint64(i)].fits(key, o) {
			return true
		}
	}
	o.purges.Store(given)
	return false
}

// tagsOf lists the words by which a response can be purged: those of Surrogate-Key,
// with spaces between them, and of Cache-Tag, with commas.
func tagsOf(f *exchange.Fields) [][]byte {
	var tags [][]byte
	for name, value := range f.All() {
		switch {
		case exchange.EqualFold(name, "surrogate-key"):
			tags = append(tags, bytes.Fields(value)...)
		case exchange.EqualFold(name, "cache-tag"):
			for tag := range bytes.SplitSeq(value, []byte(",")) {
				if tag = bytes.TrimSpace(tag); len(tag) > 0 {
					tags = append(tags, tag)
				}
			}
		}
	}
	return tags
}
