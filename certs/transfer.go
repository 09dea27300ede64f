package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"

	"portway/certs/migrate"
)

// Export returns the certificate of name that is served, with its intermediates,
// and its key, in PEM.
func (m *Manager) Export(name string) (chain, key []byte, err error) {
	e, err := m.known(name)
	if err != nil {
		return nil, nil, err
	}
	own := m.own(e.name, e.wishes)
	e = e.caring()
	cert := e.cert.Load()
	if own != nil {
		cert = &own.TLS
	} else if e.kind == internal {
		if cert, err = e.internalCert(m.ca, e.name); err != nil {
			return nil, nil, err
		}
	}
	if cert == nil {
		return nil, nil, fmt.Errorf("there is no certificate of %s yet", e.name)
	}
	for _, der := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("the key of %s: %w", e.name, err)
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Import is what became of one thing of another proxy.
type Import struct {
	What string // a name, or the account at a CA
	Why  string // it was left out; empty: it was taken
}

// Import takes what another proxy has left, for names that have nothing newer. It
// is for names of routes to come too.
func (m *Manager) Import(ctx context.Context, found migrate.Found) []Import {
	var all []Import
	for _, c := range found.Certificates {
		pair, err := tls.X509KeyPair(c.Chain, c.Key)
		if err != nil {
			all = append(all, Import{c.Source, "certificate and key cannot be used: " + err.Error()})
			continue
		}
		names := pair.Leaf.DNSNames
		for _, ip := range pair.Leaf.IPAddresses {
			names = append(names, ip.String())
		}
		for _, name := range names {
			all = append(all, outcome(normalize(name), m.importCertificate(ctx, normalize(name), &pair, c)))
		}
	}
	for _, a := range found.Accounts {
		all = append(all, outcome("account at "+a.CA, m.importAccount(ctx, a)))
	}
	return all
}

func outcome(what string, err error) Import {
	i := Import{What: what}
	if err != nil {
		i.Why = err.Error()
	}
	return i
}

func (m *Manager) importCertificate(ctx context.Context, name string, pair *tls.Certificate, c migrate.Certificate) error {
	if time.Now().After(pair.Leaf.NotAfter) {
		return fmt.Errorf("it expired on %s", pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	e := m.names.Load().get(name)
	if k, _ := classify(name, false, m.isPublic); k == internal || e != nil && e.kind == internal {
		return errors.New("the internal CA certifies this name")
	}
	var wishes Wishes
	if e != nil {
		wishes = e.wishes
	}
	chain, err := m.chain(name, wishes)
	if err != nil {
		return err
	}
	by := chosen(chain, cmp.Or(c.CA, guessCA(pair.Leaf)))
	if by == nil {
		return fmt.Errorf("it is by %s, which Portway would not ask for this name", pair.Leaf.Issuer)
	}
	old := newest(ctx, m.storage, chain, name, func(*authority, error) {})
	if old != nil && !pair.Leaf.NotBefore.After(old.Leaf.NotBefore) {
		return errors.New("there is one as new, or newer")
	}
	var about meta
	about.SANs = append(about.SANs, pair.Leaf.DNSNames...)
	about.IssuerData.CA = by.Directory
	data, err := json.MarshalIndent(about, "", "\t")
	if err != nil {
		return err
	}
	keys, issuer := certmagic.StorageKeys, by.ledger.issuer
	for _, file := range []struct {
		key  string
		data []byte
	}{{keys.SitePrivateKey(issuer, name), c.Key}, {keys.SiteCert(issuer, name), c.Chain}, {keys.SiteMeta(issuer, name), data}} {
		if err := m.storage.Store(ctx, file.key, file.data); err != nil {
			return m.storage.explain(err)
		}
	}
	m.log.Info("Imported a certificate.", "name", name, "issuer", by.Name, "expires", pair.Leaf.NotAfter, "from", c.Source)
	if e != nil {
		e.reread()
	}
	return nil
}

// chosen returns the CA with this directory, or host of it. Where nothing is known,
// it is taken to be the first.
func chosen(chain []*candidate, directory string) *candidate {
	host := directory
	if u, err := url.Parse(directory); err == nil && u.Host != "" {
		host = u.Host
	}
	for _, c := range chain {
		if u, err := url.Parse(c.Directory); host == "" || err == nil && u.Host == host {
			return c
		}
	}
	return nil
}

// guessCA tells the directory of the CA by its name in certificates, for those that
// many use; empty: not known.
func guessCA(cert *x509.Certificate) string {
	by := strings.Join(cert.Issuer.Organization, " ")
	switch {
	case strings.Contains(by, "STAGING"):
		return certmagic.LetsEncryptStagingCA
	case strings.Contains(by, "Let's Encrypt"):
		return certmagic.LetsEncryptProductionCA
	case strings.Contains(by, "ZeroSSL"):
		return certmagic.ZeroSSLProductionCA
	case strings.Contains(by, "Google Trust Services"):
		return certmagic.GoogleTrustProductionCA
	default:
		return ""
	}
}

// importAccount keeps the key of an account, by which the CA gives it to us when
// an account is needed; see keepKey.
func (m *Manager) importAccount(ctx context.Context, a migrate.Account) error {
	if m.email != "" && a.Email != "" && !strings.EqualFold(m.email, a.Email) {
		return fmt.Errorf("its e-mail address is %s, and Portway's is %s", a.Email, m.email)
	}
	var chain []*candidate
	for _, name := range m.use {
		chain = append(chain, &candidate{authority: m.authorities[name]})
	}
	by := chosen(chain, a.CA)
	if by == nil {
		return errors.New("no name uses this CA")
	}
	if known, err := m.storage.List(ctx, path.Join("acme", certmagic.StorageKeys.Safe(by.ledger.issuer), "users"), true); err == nil && len(known) > 0 {
		return errors.New("there is an account already")
	}
	key := accountKey(by.ledger.issuer, m.email)
	if m.storage.Exists(ctx, key) {
		return errors.New("there is an account already")
	}
	if err := m.storage.Store(ctx, key, a.Key); err != nil {
		return m.storage.explain(err)
	}
	return nil
}
