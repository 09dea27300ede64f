// Package files has the user's own certificates: PEM files in a folder, which is
// watched. Which key belongs to which certificate is told by what is in the files,
// whatever their names, so that what certbot, a script or Kubernetes leaves there
// works as it is. A file that is broken, or half of a new pair, changes nothing: the
// certificate that was there before stays, until its file is removed.
package files

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Certificate is one from the folder.
type Certificate struct {
	TLS  tls.Certificate
	Path string // of the file with the certificate

	Serial, Fingerprint string // hexadecimal; SHA-256
	KeyType             string // see KeyType

	// Broken says what is wrong with the file by now; empty: nothing.
	Broken string
}

// Problem is a file that cannot be used as it is.
type Problem struct {
	Path string
	Why  string
	Fix  string
}

// Folder is a folder of certificates. Its methods may be called from any goroutine.
type Folder struct {
	path     string
	password string // of PKCS#12 files; may be empty
	logger   *slog.Logger
	set      atomic.Pointer[set]

	quiet time.Duration // how long files must have been as they are before they are read
	poll  time.Duration // how often to look without a notification

	// Only Run uses these, and Open before it.
	changed func()
	seen    []string             // what was last seen, see look
	read    []string             // what was last read
	warned  map[string]time.Time // when a certificate's end was last warned of, by path
}

// set is one state of the folder. It is never changed.
type set struct {
	all      []*Certificate            // sorted by path
	exact    map[string][]*Certificate // by name as in the certificate, "*.example.com" too; best first
	wild     map[string][]*Certificate // wildcards again, by what follows the "*"
	problems []Problem
}

// Open reads the folder, in which files of PKCS#12 have the password, or none. What is wrong with it is logged, and looked at again by Run.
func Open(path, password string, logger *slog.Logger) *Folder {
	f := &Folder{
		path: filepath.Clean(path), password: password, logger: logger, quiet: 300 * time.Millisecond, poll: 30 * time.Second,
		warned: make(map[string]time.Time),
	}
	f.set.Store(new(set))
	f.look()
	f.load()
	return f
}

// Find returns the certificates for a host, which may be a wildcard or an address, in
// lower case, the best first: one that is good now, for exactly this name, for the
// longest time.
func (f *Folder) Find(host string) []*Certificate {
	s := f.set.Load()
	found := s.exact[host]
	if dot := strings.IndexByte(host, '.'); dot > 0 {
		if wild := s.wild[host[dot:]]; len(wild) > 0 && host[0] != '*' {
			found = slices.Concat(found, wild)
		}
	}
	if len(found) > 1 && expired(found[0]) {
		found = slices.Clone(found)
		slices.SortStableFunc(found, func(a, b *Certificate) int { return last(expired(a), expired(b)) })
	}
	return found
}

func expired(c *Certificate) bool { return time.Now().After(c.TLS.Leaf.NotAfter) }

// last orders what is so behind what is not.
func last(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// Match is Find for a handshake: the first that the client can use; nil if there is
// none for the host.
func (f *Folder) Match(host string, hello *tls.ClientHelloInfo) *tls.Certificate {
	found := f.Find(host)
	for _, c := range found {
		if hello.SupportsCertificate(&c.TLS) == nil {
			return &c.TLS
		}
	}
	if len(found) > 0 { // what is wrong, the handshake tells
		return &found[0].TLS
	}
	return nil
}

// All returns every certificate, sorted by path.
func (f *Folder) All() []*Certificate { return f.set.Load().all }

// Problems tells which files cannot be used, sorted by path.
func (f *Folder) Problems() []Problem { return f.set.Load().problems }

// newSet indexes certificates by their names.
func newSet(all []*Certificate, problems []Problem) *set {
	s := &set{all: all, exact: make(map[string][]*Certificate), wild: make(map[string][]*Certificate), problems: problems}
	slices.SortFunc(s.all, func(a, b *Certificate) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(s.problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	best := slices.Clone(all)
	slices.SortStableFunc(best, func(a, b *Certificate) int {
		if by := b.TLS.Leaf.NotAfter.Compare(a.TLS.Leaf.NotAfter); by != 0 {
			return by
		}
		return len(b.TLS.Certificate) - len(a.TLS.Certificate) // cert.pem beside fullchain.pem
	})
	for _, c := range best {
		for _, name := range Names(c.TLS.Leaf) {
			s.exact[name] = append(s.exact[name], c)
			if suffix, ok := strings.CutPrefix(name, "*"); ok {
				s.wild[suffix] = append(s.wild[suffix], c)
			}
		}
	}
	return s
}

// Names are those that a certificate is for: host names in lower case, wildcards and
// addresses.
func Names(cert *x509.Certificate) []string {
	var names []string
	for _, name := range cert.DNSNames {
		names = append(names, strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			names = append(names, addr.Unmap().String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// KeyType names the kind of a certificate's key: ec256, ec384, rsa2048 and so on.
func KeyType(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return fmt.Sprintf("ec%d", key.Curve.Params().BitSize)
	case *rsa.PublicKey:
		return fmt.Sprintf("rsa%d", key.N.BitLen())
	default:
		return "other"
	}
}
