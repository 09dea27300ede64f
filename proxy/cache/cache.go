// Package cache answers requests by what the origin answered before, as a shared
// cache by RFC 9111; package policy says what may be done.
//
// # Key
//
// What is stored is found by the route, the host and the path with its query, as the
// client sent them. To fit, a request must also have the same X-Forwarded-Proto,
// -Host, -Port and other X-Forwarded-* towards the origin, the same fields and
// cookies that the route's options name, and the same values of what the answer's
// Vary names. Whatever else a client sends reaches the origin as well, but nothing by
// which origins usually take a request for another one: see hidden. X-Forwarded-For,
// X-Real-IP and Forwarded have the visitor's own address in them, as far as it can
// be trusted, and nothing else.
//
// # Fetching
//
// A response that may be stored is fetched on an exchange of its own, which lives on
// when its client goes away. Other requests for the same join it, from its first
// byte on, and read at their own pace. A response that broke off is never stored,
// and those who read it are cut off, too.
//
// # Bounds
//
// Config.Memory bounds what is stored; contents on their way take no more than half
// as much again, and are only passed on, without being stored, where they would.
//
// # Disk
//
// With Config.Disk, what is stored goes to files, too (package disk), and what memory
// has no room for, or a restart has lost, is found there. Contents larger than
// disk.Small are only there, and never in memory as a whole.
package cache

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"portway/proxy/cache/disk"
	"portway/proxy/exchange"
)

// Config is how much a Cache may take.
type Config struct {
	Memory int64        // bytes of stored responses in memory; 0: 64 MiB
	Disk   int64        // bytes of stored responses in Folder; 0: none are
	Folder string       // which nobody else uses
	Logger *slog.Logger // nil: none
}

// DefaultMemory is Config.Memory, if it is not given; MinDisk the least Config.Disk.
const (
	DefaultMemory = 64 << 20
	MinDisk       = disk.MinSize
)

// Cache holds what the routes that have one have stored. It may be used from any
// goroutine.
type Cache struct {
	cfg     Config
	memory  *memory
	disk    *tier // nil: none
	flights flights
	purges  purges
	now     func() time.Time

	filling atomic.Int64 // bytes of contents on their way

	mu      sync.Mutex
	closed  bool
	live    map[*exchange.Exchange]struct{}   // fetches under way
	counted map[string]weak.Pointer[counters] // by route
	work    sync.WaitGroup                    // goroutines of them
}

// New makes an empty Cache.
func New(cfg Config) (*Cache, error) {
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMemory(cfg.Memory)
	if err != nil {
		return nil, err
	}
	c := &Cache{cfg: cfg, memory: m, now: time.Now, live: make(map[*exchange.Exchange]struct{}), counted: make(map[string]weak.Pointer[counters])}
	c.flights.all = make(map[string][]*flight)
	c.disk = openTier(c)
	return c, nil
}

// Close gives up the fetches that are under way, and returns when none is left. From
// then on nothing is fetched any more.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	for sub := range c.live {
		sub.Cancel(errClosing)
	}
	c.mu.Unlock()
	c.work.Wait()
	c.disk.close()
}

// reserve takes memory for a content on its way; false if there is none to be had.
func (c *Cache) reserve(n int64) bool {
	if c.filling.Add(n) > c.cfg.Memory/2 {
		c.filling.Add(-n)
		return false
	}
	return true
}
