package exchange

import "sync/atomic"

// Told keeps what was worked out about a client once, for further requests over the same
// connection to the same host. The zero value is ready.
type Told struct{ kept atomic.Pointer[told] }

type told struct {
	host            string
	addr, forwarded []byte
}

// For gives what was kept, if it was for host. Nothing of it may be written to.
func (t *Told) For(host []byte) (addr, forwarded []byte, ok bool) {
	if t == nil {
		return nil, nil, false
	}
	k := t.kept.Load()
	if k == nil || k.host != string(host) {
		return nil, nil, false
	}
	return k.addr, k.forwarded, true
}

// Keep copies the address of the client and the value of Forwarded in requests to host,
// unless there are others already: requests for many hosts are not made slower by it.
func (t *Told) Keep(host, addr, forwarded []byte) {
	if t == nil || t.kept.Load() != nil || len(host) > maxToldHost {
		return
	}
	b := make([]byte, 0, len(addr)+len(forwarded))
	b = append(append(b, addr...), forwarded...)
	n := len(addr)
	t.kept.CompareAndSwap(nil, &told{host: string(host), addr: b[:n:n], forwarded: b[n:]})
}

// maxToldHost bounds what a connection keeps.
const maxToldHost = 64
