package middleware

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"portway/label"
)

// crl is a list of the certificates that a CA has revoked (RFC 5280 section 5).
type crl struct {
	issuer  *x509.Certificate
	scope   string // of which certificates of the issuer it is, as the list says it
	made    time.Time
	until   time.Time // then there has to be another one; zero: never
	revoked map[string]bool
}

// Extensions of lists (RFC 5280 section 5.2).
var (
	deltaIndicator    = asn1.ObjectIdentifier{2, 5, 29, 27}
	distributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// parseCRLs reads lists, each of which must be by one of cas. Of several by one CA with
// the same scope, the newest counts.
func parseCRLs(text string, cas []*x509.Certificate) ([]*crl, error) {
	bad := func(why, fix string) ([]*crl, error) { return nil, &label.Error{Why: why, Fix: fix, Safe: true} }
	var all []*crl
	for rest := []byte(text); ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return bad(fmt.Sprintf("one of its lists cannot be read (%v)", err), "give lists of version 2, in PEM; openssl ca makes such ones with crlnumber in its configuration")
		}
		i := slices.IndexFunc(cas, func(ca *x509.Certificate) bool {
			return bytes.Equal(ca.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(ca) == nil
		})
		if i < 0 {
			return bad(fmt.Sprintf("the list by %q is not signed by a CA of tls.client-ca that may sign lists", list.Issuer.String()), "add the certificate of its CA to tls.client-ca, or remove the list")
		}
		c := &crl{issuer: cas[i], made: list.ThisUpdate, until: list.NextUpdate, revoked: make(map[string]bool)}
		for _, e := range list.Extensions {
			switch {
			case e.Id.Equal(deltaIndicator):
				return bad("one of its lists says only what has changed since another one", "give complete lists")
			case e.Id.Equal(distributionPoint):
				c.scope = string(e.Value)
			}
		}
		for _, e := range list.RevokedCertificateEntries {
			c.revoked[string(e.SerialNumber.Bytes())] = true
		}
		if i := slices.IndexFunc(all, func(o *crl) bool { return o.scope == c.scope && o.by(c.issuer) }); i < 0 {
			all = append(all, c)
		} else if all[i].made.Before(c.made) {
			all[i] = c
		}
	}
	if len(all) == 0 {
		return bad("there is no list in it", "give file:/path of a file with the CA's list in PEM, which begins with -----BEGIN X509 CRL-----; openssl crl -inform DER makes one of a list that is not")
	}
	return all, nil
}

// by tells whether the list is about certificates by ca, which may itself be certified in
// several ways.
func (c *crl) by(ca *x509.Certificate) bool {
	return bytes.Equal(c.issuer.RawSubject, ca.RawSubject) && bytes.Equal(c.issuer.RawSubjectPublicKeyInfo, ca.RawSubjectPublicKeyInfo)
}

// covers tells whether the list is about the first certificate of a chain. The last one
// may itself be certified by a CA of the user's, who has named both.
func (c *crl) covers(chain []*x509.Certificate) bool {
	switch cert := chain[0]; {
	case len(chain) > 1:
		return c.by(chain[1])
	case bytes.Equal(cert.RawSubject, cert.RawIssuer):
		return false
	default:
		return bytes.Equal(cert.RawIssuer, c.issuer.RawSubject) && cert.CheckSignatureFrom(c.issuer) == nil
	}
}

func (c *crl) over(now time.Time) bool { return !c.until.IsZero() && !now.Before(c.until) }

// errRevoked is for people to tell apart from certificates that never were good.
var errRevoked = errors.New("it has been revoked")

// listOverError says that nobody can tell whether a certificate has been revoked.
type listOverError struct{ c *crl }

func (e *listOverError) Error() string {
	return fmt.Sprintf("the list of certificates that %q has revoked ended on %s: put a newer one into the file of tls.client-crl",
		e.c.issuer.Subject.String(), e.c.until.UTC().Format(time.DateTime))
}

// checkRevoked looks for the certificates of a chain in lists. until is when the answer
// has to be found anew.
func checkRevoked(lists []*crl, chain []*x509.Certificate, now time.Time) (until time.Time, err error) {
	for i, cert := range chain {
		for _, c := range lists {
			switch {
			case !c.covers(chain[i:]):
				continue
			case c.revoked[string(cert.SerialNumber.Bytes())]:
				return until, errRevoked
			case c.over(now):
				err = &listOverError{c} // unless another one says more
			}
			if !c.until.IsZero() && (until.IsZero() || c.until.Before(until)) {
				until = c.until
			}
		}
	}
	return until, err
}

// Listed tells until when the lists of a route hold.
type Listed []listed

type listed struct {
	issuer      string
	made, until time.Time
}

// Listed tells about the lists of m.
func (m *ClientTLS) Listed() (all Listed) {
	for _, c := range m.lists() {
		if !c.until.IsZero() {
			all = append(all, listed{c.issuer.Subject.String(), c.made, c.until})
		}
	}
	return all
}

// Problem tells that a list has ended, or has less than a tenth of its time left; empty if
// all is well.
func (l Listed) Problem(now time.Time) (why, fix string) {
	const another = "put a newer one into the file of tls.client-crl"
	for _, c := range l {
		at := c.until.UTC().Format(time.DateTime)
		switch left := c.until.Sub(now); {
		case left <= 0:
			return fmt.Sprintf("the list of certificates that %q has revoked ended on %s, so that none by this CA is accepted", c.issuer, at), another
		case left < c.until.Sub(c.made)/10:
			return fmt.Sprintf("the list of certificates that %q has revoked ends on %s, and then none by this CA is accepted", c.issuer, at), another
		}
	}
	return "", ""
}

// lists are those of revoked certificates.
func (m *ClientTLS) lists() []*crl {
	if m.CRL == "" {
		return nil
	}
	all, _ := parseCRLs(m.CRL, m.CAs()) // Labels has looked at it
	return all
}
