package certs

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"portway/certs/files"
)

// stored is a certificate as it is in the storage.
type stored struct {
	*tls.Certificate // with Leaf
	by               *authority
	meta             meta
}

// meta is what certmagic stores about a certificate, and what it does not.
type meta struct {
	SANs       []string `json:"sans,omitempty"`
	IssuerData struct {
		acme.Certificate
		Profile   string `json:"portway_profile,omitempty"`   // that was asked for
		Challenge string `json:"portway_challenge,omitempty"` // by which the CA was shown that the name is ours
	} `json:"issuer_data"`
}

// load reads the certificate of name that a issued. The error is fs.ErrNotExist
// if there is none, an *fs.PathError if it cannot be read, and another one if the
// files do not belong together, as a crash between them may leave them.
func (a *authority) load(ctx context.Context, s storage, name string) (*stored, error) {
	keys, issuer := certmagic.StorageKeys, a.ledger.issuer
	var files [3][]byte
	for i, key := range []string{keys.SitePrivateKey(issuer, name), keys.SiteCert(issuer, name), keys.SiteMeta(issuer, name)} {
		data, err := s.Load(ctx, key)
		if err != nil {
			return nil, err
		}
		files[i] = data
	}
	pair, err := tls.X509KeyPair(files[1], files[0])
	if err != nil {
		return nil, err
	}
	c := &stored{Certificate: &pair, by: a}
	if err := json.Unmarshal(files[2], &c.meta); err != nil {
		return nil, fmt.Errorf("its metadata: %w", err)
	}
	return c, nil
}

// saveMeta writes what is known about c besides the certificate.
func (c *stored) saveMeta(ctx context.Context, s storage, name string) error {
	data, err := json.MarshalIndent(c.meta, "", "\t")
	if err != nil {
		return err
	}
	return s.Store(ctx, certmagic.StorageKeys.SiteMeta(c.by.ledger.issuer, name), data)
}

// newest returns the certificate of name that was issued last by any of the CAs,
// nil if there is none. damaged is called for those that are.
func newest(ctx context.Context, s storage, by []*candidate, name string, damaged func(*authority, error)) *stored {
	var best *stored
	for _, a := range by {
		c, err := a.load(ctx, s, name)
		var unreadable *fs.PathError
		switch {
		case err == nil:
			if best == nil || c.Leaf.NotBefore.After(best.Leaf.NotBefore) {
				best = c
			}
		case errors.Is(err, fs.ErrNotExist), errors.As(err, &unreadable): // the try that follows reports the latter
		default:
			damaged(a.authority, err)
		}
	}
	return best
}

// due is when c should be renewed: at the time that was chosen in the window the
// CA suggested (RFC 9773), or with a third of the lifetime left, half of a short one.
func (c *stored) due() time.Time {
	leaf := c.Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	ari := c.meta.IssuerData.RenewalInfo
	if ari == nil || !ari.HasWindow() || ari.SelectedTime.IsZero() {
		if life < shortLife {
			return leaf.NotAfter.Add(-life / 2)
		}
		return leaf.NotAfter.Add(-life / 3)
	}
	// However wrong the CA is, no certificate expires by its advice, and none is
	// renewed all the time.
	earliest := leaf.NotBefore.Add(min(life/20, 2*time.Hour))
	latest := leaf.NotAfter.Add(-life / 20)
	switch at := ari.SelectedTime; {
	case at.Before(earliest):
		return earliest
	case at.After(latest):
		return latest
	default:
		return at
	}
}

// shortLife is where half of the lifetime is needed to get over an outage of the CA.
const shortLife = 10 * 24 * time.Hour

// keyTypeOf names the kind of c's key as Wishes.KeyType does.
func keyTypeOf(c *tls.Certificate) string { return files.KeyType(c.Leaf) }

// keyType is certmagic's word for what Wishes.KeyType says.
func keyType(name string) (certmagic.KeyType, error) {
	switch name {
	case "", "ec256":
		return certmagic.P256, nil
	case "ec384":
		return certmagic.P384, nil
	case "rsa2048":
		return certmagic.RSA2048, nil
	case "rsa4096":
		return certmagic.RSA4096, nil
	default:
		return "", fmt.Errorf("%q is no key type: choose ec256, ec384, rsa2048 or rsa4096", name)
	}
}
