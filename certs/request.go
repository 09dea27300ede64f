package certs

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// Renew gets another certificate for name now, however good the one is that it
// has. What a CA has asked to wait is waited all the same; see Status.
func (m *Manager) Renew(name string) error {
	e, err := m.asked(name)
	if err != nil {
		return err
	}
	e.renew()
	return nil
}

// Revoke has the CA revoke the certificate of name, for a reason of RFC 5280
// section 5.3.1, and gets another one with another key. Until that is there the old
// one is served, since most clients do not know.
func (m *Manager) Revoke(ctx context.Context, name string, reason int) error {
	e, err := m.asked(name)
	if err != nil {
		return err
	}
	if e.kind == internal {
		return fmt.Errorf("the internal CA does not revoke certificates, which live for some days only: renew the one of %s instead", e.name)
	}
	cert := newest(ctx, m.storage, e.chain, e.name, func(*authority, error) {})
	if cert == nil {
		return fmt.Errorf("there is no certificate of %s to be revoked", e.name)
	}
	if err := cert.revoke(ctx, reason); err != nil {
		return fmt.Errorf("the certificate of %s is not revoked: %w", e.name, err)
	}
	m.log.Info("Revoked a certificate.", "name", e.name, "issuer", cert.by.Name, "serial", cert.Leaf.SerialNumber.Text(16))
	if err := m.forget(ctx, cert, e.name); err != nil {
		return fmt.Errorf("the certificate of %s is revoked, but cannot be deleted: %w", e.name, m.storage.explain(err))
	}
	e.renew()
	return nil
}

// forget deletes a certificate, unless another one has taken its place. certmagic's lock
// keeps those away that are writing one.
func (m *Manager) forget(ctx context.Context, cert *stored, name string) error {
	lock := issueLock(name)
	if err := m.storage.Lock(ctx, lock); err != nil {
		return err
	}
	defer func() { _ = m.storage.Unlock(context.WithoutCancel(ctx), lock) }() // else it is stale in a while
	if now, err := cert.by.load(ctx, m.storage, name); err == nil && !now.Leaf.Equal(cert.Leaf) {
		return nil
	}
	issuer := cert.by.ledger.issuer
	for _, key := range []string{
		certmagic.StorageKeys.SiteMeta(issuer, name), certmagic.StorageKeys.SiteCert(issuer, name), certmagic.StorageKeys.SitePrivateKey(issuer, name),
	} {
		if err := m.storage.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// issueLock is the lock that certmagic holds while it gets a certificate.
func issueLock(name string) string { return "issue_cert_" + name }

// asked finds the entry that a person means.
func (m *Manager) asked(name string) (*entry, error) {
	e, err := m.known(name)
	switch {
	case err != nil:
		return nil, err
	case e.kind == own:
		return nil, fmt.Errorf("the certificate of %s is your own: put another one into its place", e.name)
	default:
		return e.caring(), nil
	}
}

// known finds the entry of a name that can have a certificate.
func (m *Manager) known(name string) (*entry, error) {
	e := m.names.Load().get(normalize(name))
	switch {
	case e == nil:
		return nil, fmt.Errorf("no route needs a certificate for %s", name)
	case e.kind == refused:
		return nil, errors.New(e.status.Load().LastError)
	default:
		return e, nil
	}
}

// revoke asks the CA by the certificate's own key, since the account may be another
// one, or be forgotten (RFC 8555 section 7.6).
func (c *stored) revoke(ctx context.Context, reason int) error {
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return errors.New("its key cannot sign")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := acme.Client{Directory: c.by.Directory, HTTPClient: &http.Client{Transport: c.by.transport}}
	err := client.RevokeCertificate(ctx, acme.Account{}, c.Leaf, key, reason)
	if problem := (acme.Problem{}); errors.As(err, &problem) && problem.Type == acme.ProblemTypeAlreadyRevoked {
		return nil
	}
	return err
}
