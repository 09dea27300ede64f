package dns

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-acme/lego/v5/challenge"
	"github.com/go-acme/lego/v5/challenge/dns01"
)

// provider is one of lego's, or ours, made fit for several goroutines.
type provider struct {
	name string
	zone string // that it is for; empty: all
	api  challenge.Provider

	calls turns // lego never calls a provider twice at once, so none is written for it
	alone turns // from Present to CleanUp
	// key says what must be alone: names with the same key. Nil: nothing.
	key func(fqdn string) string
}

func newProvider(name, zone string) (*provider, error) {
	api, err := aws(name)
	if api == nil && err == nil {
		api, err = light(name)
	}
	if api == nil && err == nil {
		api, err = heavy(name)
	}
	if err != nil {
		return nil, fmt.Errorf("the DNS provider %s: %w; docs/dns-providers.md lists its variables", name, err)
	}
	if api == nil {
		return nil, unknown(name)
	}
	p := &provider{name: name, zone: zone, api: api}
	switch _, one := api.(interface{ Sequential() time.Duration }); {
	case name == "dnsupdate", name == "rfc2136": // replaces all records of the name
		p.key = func(fqdn string) string { return fqdn }
	case one: // knows one record in an account, or reads and writes whole zones
		p.key = func(string) string { return "" }
	}
	return p, nil
}

func unknown(name string) error {
	if name == "manual" {
		return fmt.Errorf("%q asks on a terminal, which Portway has not", name)
	}
	if len(heavyNames()) == 0 {
		return fmt.Errorf("there is no DNS provider %q in this build; docs/dns-providers.md lists them, and those that need a build tag", name)
	}
	return fmt.Errorf("there is no DNS provider %q; docs/dns-providers.md lists them", name)
}

// Names are those of all providers in this build, sorted.
func Names() []string {
	all := append(lightNames(), heavyNames()...)
	if !slices.Contains(all, awsName) {
		all = append(all, awsName)
	}
	slices.Sort(all)
	return all
}

// enter waits until a record may be made; exit follows, and calls.leave.
func (p *provider) enter(ctx context.Context, fqdn string) error {
	if p.key != nil {
		if err := p.alone.enter(ctx, p.key(fqdn)); err != nil {
			return err
		}
	}
	if err := p.calls.enter(ctx, ""); err != nil {
		p.exit(fqdn)
		return err
	}
	return nil
}

// exit lets the next one make a record.
func (p *provider) exit(fqdn string) {
	if p.key != nil {
		p.alone.leave(p.key(fqdn))
	}
}

// timing is how long a record may take, and how often to look for it.
func (p *provider) timing() (limit, interval time.Duration) {
	limit, interval = dns01.DefaultPropagationTimeout, dns01.DefaultPollingInterval
	if t, ok := p.api.(challenge.ProviderTimeout); ok {
		limit, interval = t.Timeout()
	}
	return limit, max(interval, 100*time.Millisecond)
}

// turns lets one at a time go on with each key.
type turns struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is left
}

func (t *turns) enter(ctx context.Context, key string) error {
	for {
		t.mu.Lock()
		left, busy := t.held[key]
		if !busy {
			if t.held == nil {
				t.held = make(map[string]chan struct{})
			}
			t.held[key] = make(chan struct{})
			t.mu.Unlock()
			return nil
		}
		t.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *turns) leave(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.held[key])
	delete(t.held, key)
}
