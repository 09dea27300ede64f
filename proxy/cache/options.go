package cache

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// Options are what labels say about the cache of a route.
type Options struct {
	on           bool
	ttl          time.Duration
	staleIfError time.Duration
	staleIfDown  time.Duration
	maxObject    int64
	methods      []string // those that are answered from the cache
	ignoreCookie bool     // store responses with Set-Cookie, without that field
	anyCookie    bool     // store what says nothing about it although the request had cookies

	bypassCookies patterns
	bypassHeaders []string // in lower case
	bypassPaths   patterns

	keyHeaders  []string // in lower case
	keyCookies  []string
	query       patterns // those that count; nil: all but those in ignoreQuery
	ignoreQuery patterns
}

var _ label.Binder = (*Options)(nil)

// Labels binds cache and its details.
func (o *Options) Labels(s *label.Set) {
	needs := label.Needs("cache")
	s.Bool(&o.on, "cache", false,
		"Keep answers of the application that say they may be kept (RFC 9111), and answer with them as long as they are fresh.", label.Example("true"))
	s.Duration(&o.ttl, "cache.ttl", 0,
		"How long answers are fresh that do not say it. Without it, that is a tenth of the time since their Last-Modified.", needs, label.Example("5m"))
	s.Duration(&o.staleIfError, "cache.stale-if-error", 0,
		"How long after that an answer may still be used while the application fails, if the answer does not say it.", needs, label.Example("1h"))
	s.Duration(&o.staleIfDown, "cache.stale-if-down", time.Minute,
		"How long after that an answer may still be used while the application cannot be reached or gives no answer at all, if the answer does not say it; 0s: not at all.", needs, label.Example("10m"))
	s.Size(&o.maxObject, "cache.max-object", 16<<20,
		"Larger contents are not kept.", needs, label.Example("64MiB"))
	o.methods = []string{http.MethodGet, http.MethodHead}
	other := true
	s.Each("cache.methods", "Requests that are answered from the cache: GET, HEAD or both.", func(item string) error {
		if other {
			other, o.methods = false, nil
		}
		if item != http.MethodGet && item != http.MethodHead {
			return &label.Error{Why: label.Quote(item) + " is not answered from a cache", Fix: "write GET, HEAD or both"}
		}
		o.methods = append(o.methods, item)
		return nil
	}, needs, label.Default("GET, HEAD"), label.Example("GET"))
	s.Bool(&o.ignoreCookie, "cache.ignore-set-cookie", false,
		"Keep answers that set a cookie too, without the cookie. Without it, they are not kept at all.", needs, label.Example("true"))

	s.Bool(&o.anyCookie, "cache.ignore-cookies", false,
		"Keep answers that do not say whether they may be kept also if their request had cookies. Without it, they may be somebody's own.", needs, label.Example("true"))

	s.Each("cache.bypass.cookies", "Cookies whose requests go to the application, and whose answers are not kept; `*` stands for anything.",
		o.bypassCookies.add, needs, label.Example("session, wordpress_logged_in_*"))
	s.Each("cache.bypass.headers", "Header fields whose requests go to the application, and whose answers are not kept.",
		addField(&o.bypassHeaders), needs, label.Example("X-Preview"))
	s.Each("cache.bypass.paths", "Paths whose requests go to the application, and whose answers are not kept; `*` stands for anything.",
		func(item string) error {
			if !strings.HasPrefix(item, "/") && !strings.HasPrefix(item, "*") {
				return &label.Error{Why: label.Quote(item) + " is no path", Fix: "write for example /admin/*"}
			}
			return o.bypassPaths.add(item)
		}, needs, label.Example("/admin/*, /cart"))

	s.Each("cache.key.headers", "Header fields of requests that answers depend on, although their Vary does not name them.",
		addField(&o.keyHeaders), needs, label.Example("X-Tenant"))
	s.Each("cache.key.cookies", "Cookies that answers depend on.", func(item string) error {
		o.keyCookies = append(o.keyCookies, item)
		return nil
	}, needs, label.Example("currency"))
	s.Each("cache.key.query", "The only query parameters that answers depend on; the application gets no others. `*` stands for anything.",
		o.query.add, needs, label.Example("page, q"))
	s.Each("cache.key.ignore-query", "Query parameters that no answer depends on; the application does not get them. `*` stands for anything.",
		o.ignoreQuery.add, needs, label.Example("utm_*, fbclid"))
	s.Check("cache.key.ignore-query", func() error {
		if o.query != nil {
			return &label.Error{Why: "does nothing beside cache.key.query", Fix: "remove one of them"}
		}
		return nil
	})
}

// addField reads the name of a header field.
func addField(list *[]string) func(item string) error {
	return func(item string) error {
		name := strings.ToLower(item)
		if strings.Trim(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") != "" {
			return &label.Error{Why: label.Quote(item) + " is no name of a header field", Fix: "write for example X-Tenant"}
		}
		if !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
		return nil
	}
}

// Wrap puts the cache in front of next, for the route with that ID; without the label,
// it returns next itself.
func (o *Options) Wrap(c *Cache, route string, next exchange.Handler) exchange.Handler {
	if !o.on {
		return next
	}
	return &handler{cache: c, route: route, next: next, opts: o, counts: c.counters(route)}
}

// patterns are names in which "*" stands for anything.
type patterns [][]string

func (p *patterns) add(item string) error {
	*p = append(*p, strings.Split(item, "*"))
	return nil
}

// fit tells whether one of them fits name.
func (p patterns) fit(name []byte) bool {
	return slices.ContainsFunc(p, func(parts []string) bool { return fitsPattern(parts, name) })
}

// fitsPattern tells whether name is parts with anything between them.
func fitsPattern(parts []string, name []byte) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return string(name) == first
	}
	if len(name) < len(first)+len(last) || string(name[:len(first)]) != first || string(name[len(name)-len(last):]) != last {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := indexOf(name, part)
		if at < 0 {
			return false
		}
		name = name[at+len(part):]
	}
	return true
}

func indexOf(b []byte, s string) int {
	for i := 0; i+len(s) <= len(b); i++ {
		if string(b[i:i+len(s)]) == s {
			return i
		}
	}
	return -1
}
