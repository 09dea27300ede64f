package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"portway/admin"
	"portway/certs"
	"portway/certs/ech"
	"portway/proxy"
	"portway/route"
)

// publicName is the name that the network sees instead of those of hosts; empty: off.
type publicName string

var _ encoding.TextUnmarshaler = (*publicName)(nil)

// UnmarshalText takes "off" or a host.
func (p *publicName) UnmarshalText(text []byte) error {
	*p = ""
	if string(text) == off {
		return nil
	}
	name, err := route.CompileHost(string(text))
	if err == nil {
		err = ech.CheckName(name)
	}
	*p = publicName(name)
	return err
}

// hello is Encrypted ClientHello; nil: it is not offered.
type hello struct {
	*ech.Keys
	publicName string
	port       int // at which clients reach HTTPS
	hosts      atomic.Pointer[[]string]
}

// hello opens the keys, which are made at first need.
func (r *runCmd) hello(l *proxy.Listeners, logger *slog.Logger) (*hello, error) {
	if r.ECH == "" {
		return nil, nil
	}
	keys, err := ech.Open(filepath.Join(r.Storage, "ech"), string(r.ECH), logger)
	if err != nil {
		return nil, err
	}
	h := &hello{Keys: keys, publicName: string(r.ECH), port: cmp.Or(int(r.HTTPSPort), firstPort(l.HTTPS()))}
	h.hosts.Store(new([]string))
	return h, nil
}

// keys gives handshakes what they need.
func (h *hello) keys() func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	if h == nil {
		return nil
	}
	return h.Accepted
}

// run looks after the keys.
func (h *hello) run(ctx context.Context) error {
	if h == nil {
		return nil
	}
	return h.Run(ctx)
}

// addTo adds the public name to names, those that hosts need: by its certificate, clients
// with an old key know that it is us who tell them the new one.
func (h *hello) addTo(names []certs.Name) []certs.Name {
	if h == nil {
		return names
	}
	hosts := []string{}
	for _, n := range names {
		// The public name is for all to see, and patterns, addresses and single words have no records.
		_, err := netip.ParseAddr(n.Name)
		if n.Name != h.publicName && err != nil && strings.Contains(n.Name, ".") && !strings.HasPrefix(n.Name, "~") {
			hosts = append(hosts, n.Name)
		}
	}
	h.hosts.Store(&hosts)
	return append(names, certs.Name{Name: h.publicName})
}

// tell is what the admin API tells. Protocols are those of a host.
func (h *hello) tell(protocols func(host string) []string) func(rotate bool) (admin.HelloKeys, error) {
	if h == nil {
		return nil
	}
	return func(rotate bool) (admin.HelloKeys, error) {
		if rotate {
			if err := h.Rotate(); err != nil {
				return admin.HelloKeys{}, err
			}
		}
		s := h.State()
		k := admin.HelloKeys{
			PublicName: s.PublicName, ConfigList: base64.StdEncoding.EncodeToString(s.ConfigList), ID: s.ID, Made: s.Made,
			Old: []admin.OldKey{}, Hosts: []admin.HostHint{},
		}
		for _, o := range s.Old {
			k.Old = append(k.Old, admin.OldKey(o))
		}
		for _, host := range *h.hosts.Load() {
			k.Hosts = append(k.Hosts, admin.HostHint{Host: host, Record: s.Record(host, h.port, protocols(host))})
		}
		return k, nil
	}
}

// echCmd is "portway ech".
type echCmd struct {
	Rotate bool `help:"Make another key first. The old one is accepted for a week."`
	JSON   bool `name:"json" help:"Print JSON."`
}

// Run asks the running Portway.
func (e echCmd) Run(c *cli) error {
	method, path := http.MethodGet, "/v1/ech"
	if e.Rotate {
		method, path = http.MethodPost, "/v1/ech/rotate"
	}
	var k admin.HelloKeys
	if err := c.asking(method, path, nil, &k); err != nil {
		return err
	}
	if e.JSON {
		return printJSON(k)
	}
	printHelloKeys(os.Stdout, k)
	return nil
}

// printHelloKeys writes what goes into a zone file, and the rest as its comments.
func printHelloKeys(out io.Writer, k admin.HelloKeys) {
	at := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") }
	fmt.Fprintf(out, "; Public name  %s\n; Key          %d, made %s\n", k.PublicName, k.ID, at(k.Made))
	for _, o := range k.Old {
		fmt.Fprintf(out, "; Old key      %d, accepted until %s\n", o.ID, at(o.Until))
	}
	fmt.Fprintf(out, "; Config list  %s\n", k.ConfigList)
	if len(k.Hosts) == 0 {
		fmt.Fprintln(out, "; No host is served whose name could be hidden.")
		return
	}
	fmt.Fprintln(out, "; For the DNS: a record for each host, in place of the one that is there for HTTPS.")
	for _, h := range k.Hosts {
		if h.Record == "" {
			fmt.Fprintf(out, "; %s: the DNS has no wildcards for another port than 443, so each host needs a record of its own.\n", h.Host)
			continue
		}
		fmt.Fprintln(out, h.Record)
	}
}
