package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"portway/admin"
	"portway/proxy/cache"
)

// cacheCmd is "portway cache".
type cacheCmd struct {
	Purge purgeCmd `cmd:"" help:"Drop stored answers: of one address, of all that begin like one, of those with a tag, or all. Say which."`
}

// purgeCmd is "portway cache purge".
type purgeCmd struct {
	URL    string `name:"url" placeholder:"URL" help:"One address with its query, for example https://www.example.com/news?page=2." xor:"what" required:""`
	Prefix string `placeholder:"URL" help:"All addresses that begin like this one." xor:"what" required:""`
	Tag    string `placeholder:"WORD" help:"Answers that have this word in Surrogate-Key or Cache-Tag." xor:"what" required:""`
	All    bool   `help:"All answers." xor:"what" required:""`
}

// Run asks the running Portway.
func (p purgeCmd) Run(c *cli) error {
	if err := c.becomeUser(); err != nil {
		return err
	}
	question, err := json.Marshal(admin.Purge{URL: p.URL, Prefix: p.Prefix, Tag: p.Tag, All: p.All})
	if err != nil {
		return err
	}
	status, content, err := tell(c.Control, "/v1/purge", question)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return errors.New(strings.TrimSpace(string(content)))
	}
	var done admin.Purged
	if err := json.NewDecoder(bytes.NewReader(content)).Decode(&done); err != nil {
		return err
	}
	fmt.Printf("dropped: %d\n", done.Dropped)
	return nil
}

// purgePath is where those who have the token drop what is stored, at any host.
const purgePath = "/.well-known/portway/purge"

// purging is what is served at purgePath; nothing without a token.
func purging(token secret, c *cache.Cache) map[string]http.Handler {
	if token == "" {
		return nil
	}
	return map[string]http.Handler{purgePath: admin.PurgeByToken(string(token), purge(c))}
}

// purge is what the control socket does about a purge.
func purge(c *cache.Cache) func(admin.Purge) (int, error) {
	return func(p admin.Purge) (int, error) {
		return c.Purge(cache.Purge{URL: p.URL, Prefix: p.Prefix, Tag: p.Tag, All: p.All})
	}
}

// counts is how the status tells what caches have done.
func counts(c *cache.Cache) func(route string) (admin.Cache, bool) {
	return func(route string) (admin.Cache, bool) {
		n, ok := c.Counts(route)
		return admin.Cache{
			Hits: n.Hits, Stale: n.Stale, Validated: n.Validated, Collapsed: n.Collapsed, Misses: n.Misses, Bypassed: n.Bypassed,
		}, ok
	}
}
