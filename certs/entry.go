package certs

import (
	"context"
	"crypto/tls"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portway/certs/localca"
)

// entry is one name that needs a certificate. It lives as long as the name is
// in the set; its own goroutine (see keep) is the only one that changes its
// status.
type entry struct {
	name   string
	kind   kind
	wishes Wishes
	cancel context.CancelFunc // ends the goroutine; set when that starts

	status atomic.Pointer[Status]
	loaded chan struct{} // closed once the storage was looked at
	leaf   localca.Leaf  // by the internal CA: the certificate, or the temporary one

	mu    sync.Mutex
	hosts map[string]*localca.Leaf // below a wildcard that clients do not accept
}

func newEntry(name string, k kind, wishes Wishes, issuer, reason string) *entry {
	e := &entry{name: name, kind: k, wishes: wishes, loaded: make(chan struct{})}
	s := Status{Name: name, State: Pending, Issuer: issuer}
	if k == refused {
		s.State, s.LastError = Failed, reason
	}
	if k != public {
		close(e.loaded)
	}
	e.status.Store(&s)
	return e
}

// current returns the status as of now.
func (e *entry) current() Status {
	s := *e.status.Load()
	if s.State == Valid && time.Now().After(s.NotAfter) {
		s.State = Failed
	}
	return s
}

// update changes the status.
func (e *entry) update(change func(*Status)) {
	s := *e.status.Load()
	change(&s)
	e.status.Store(&s)
}

// maxHosts bounds what clients can make Portway remember below one wildcard.
const maxHosts = 1000

// internalCert returns the internal CA's certificate of e for host.
func (e *entry) internalCert(ca *localca.CA, host string) (*tls.Certificate, error) {
	if e.kind != internal { // it will have another one, or cannot have any
		return ca.Provisional(&e.leaf, e.name)
	}
	// Clients refuse wildcards right below a top-level domain, like *.localhost.
	if base, ok := strings.CutPrefix(e.name, "*."); ok && !strings.Contains(base, ".") {
		return ca.Certify(e.hostLeaf(host), host)
	}
	return ca.Certify(&e.leaf, e.name)
}

func (e *entry) hostLeaf(host string) *localca.Leaf {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.hosts[host]
	if l == nil {
		if e.hosts == nil || len(e.hosts) >= maxHosts {
			e.hosts = make(map[string]*localca.Leaf)
		}
		l = new(localca.Leaf)
		e.hosts[host] = l
	}
	return l
}
