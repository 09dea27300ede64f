package main

import (
	"crypto/x509"
	"net/http"
	"time"

	"portway/admin"
	"portway/certs"
	"portway/internal/trust"
	"portway/label"
	"portway/proxy"
	"portway/route"
)

// certificates fits package certs to what packages proxy and admin ask for.
type certificates struct{ *certs.Manager }

var _ proxy.Certificates = certificates{}

// Where the internal CA's roots are downloaded over plain HTTP: a client that does
// not trust them yet cannot come by HTTPS.
const (
	caPath      = "/.well-known/portway/ca.crt"
	caAnyPath   = "/.well-known/portway/ca-any.crt"
	profilePath = "/.well-known/portway/ca.mobileconfig"
)

// plain is what is served over plain HTTP for every host.
func (c certificates) plain() map[string]http.Handler {
	return map[string]http.Handler{
		// The types that make phones and browsers offer to install it.
		caPath: download("portway-ca.crt", "application/x-x509-ca-cert", func() ([]byte, error) {
			root, err := c.Root()
			return root.PEM, err
		}),
		caAnyPath: download("portway-ca-any.crt", "application/x-x509-ca-cert", func() ([]byte, error) {
			other, _, err := c.OtherRoot()
			return other.PEM, err
		}),
		profilePath: download("portway-ca.mobileconfig", trust.ProfileType, func() ([]byte, error) {
			root, err := c.Root()
			roots := []*x509.Certificate{root.Cert}
			if other, ok, _ := c.OtherRoot(); ok {
				roots = append(roots, other.Cert)
			}
			if err != nil {
				return nil, err
			}
			return trust.Profile(roots), nil
		}),
	}
}

// download answers with a file, or 404 if it is empty.
func download(name, mediaType string, content func() ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := content()
		switch {
		case err != nil:
			http.Error(w, "the internal CA's root cannot be read: "+err.Error(), http.StatusInternalServerError)
		case len(b) == 0:
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
			_, _ = w.Write(b) // the client has gone: nobody is left to be told
		}
	})
}

// root is the internal CA's root for the commands.
func (c certificates) root() (admin.Root, error) {
	root, err := c.Root()
	if err != nil {
		return admin.Root{}, err
	}
	other, _, err := c.OtherRoot()
	return admin.Root{
		PEM: string(root.PEM), Path: root.Path, Bounded: root.Bounded, OtherPEM: string(other.PEM), OtherPath: other.Path,
	}, err
}

// Hold tells visitors of a host whose certificate is not there yet why.
func (c certificates) Hold(host string) (why string, retry time.Duration, hold bool) {
	if c.Serves(host) { // as for nearly all requests
		return "", 0, false
	}
	s := c.Status(host)
	switch {
	case s.State == certs.Pending:
		return "Its certificate is being obtained; this takes a few seconds.", 5 * time.Second, true
	case s.State == certs.Failed && s.NotAfter.IsZero(): // else an expired one is served: the visitor may decide
		return "Its certificate could not be obtained: " + s.LastError, max(time.Until(s.NextTry), time.Second), true
	default:
		return "", 0, false
	}
}

// describe lists all certificates for the status.
func (c certificates) describe() []admin.Certificate {
	var all []admin.Certificate
	for _, s := range c.All() {
		all = append(all, described(s))
	}
	return all
}

func described(s certs.Status) admin.Certificate {
	return admin.Certificate{
		Name: s.Name, State: string(s.State), Issuer: s.Issuer, Challenge: s.Challenge, Wildcard: s.Wildcard, OnDemand: s.OnDemand, LastError: s.LastError, Attempts: s.Attempts,
		NotAfter: known(s.NotAfter), NextRenewal: known(s.NextRenewal), NextTry: known(s.NextTry),
	}
}

// names are those that t needs certificates for.
func (c certificates) names(t *route.Table) []certs.Name {
	all := make([]certs.Name, len(t.Names()))
	for i, n := range t.Names() {
		all[i] = certs.Name{Name: n.Host, Wishes: certs.Wishes{
			Issuer: n.TLS.Issuer, Challenge: n.TLS.Challenge, KeyType: n.TLS.KeyType, Profile: n.TLS.Profile, Wildcard: n.TLS.Wildcard,
			OnDemand: certs.OnDemand(n.TLS.OnDemand),
		}}
	}
	return all
}

// problems are those of the user's own certificates.
func (c certificates) problems() []label.Problem {
	var all []label.Problem
	for _, p := range c.OwnProblems() {
		all = append(all, label.Problem{Source: p.Path, Why: p.Why, Fix: p.Fix})
	}
	return all
}

// known is nil for the zero time, which JSON would show as the year 1.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
