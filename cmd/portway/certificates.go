package main

import (
	"net/http"
	"time"

	"portway/admin"
	"portway/certs"
	"portway/label"
	"portway/proxy"
	"portway/route"
)

// certificates fits package certs to what packages proxy and admin ask for.
type certificates struct{ *certs.Manager }

var _ proxy.Certificates = certificates{}

// serveRoot answers with the internal CA's root.
func (c certificates) serveRoot(w http.ResponseWriter, _ *http.Request) {
	root, err := c.Root()
	if err != nil {
		http.Error(w, "the internal CA's root cannot be read: "+err.Error(), http.StatusInternalServerError)
		return
	}
	// The type that makes phones and browsers offer to install it.
	w.Header().Set("Content-Type", "application/x-x509-ca-cert")
	w.Header().Set("Content-Disposition", `attachment; filename="portway-ca.crt"`)
	_, _ = w.Write(root.PEM) // the client has gone: nobody is left to be told
}

// root is the internal CA's root for the commands.
func (c certificates) root() (pem []byte, path string, err error) {
	root, err := c.Root()
	return root.PEM, root.Path, err
}

// Hold tells visitors of a host whose certificate is not there yet why.
func (c certificates) Hold(host string) (why string, retry time.Duration, hold bool) {
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
		all = append(all, admin.Certificate{
			Name: s.Name, State: string(s.State), Issuer: s.Issuer, LastError: s.LastError, Attempts: s.Attempts,
			NotAfter: known(s.NotAfter), NextTry: known(s.NextTry),
		})
	}
	return all
}

// names are those that t needs certificates for.
func (c certificates) names(t *route.Table) []certs.Name {
	all := make([]certs.Name, len(t.Names()))
	for i, n := range t.Names() {
		all[i] = certs.Name{Name: n.Host, Wishes: certs.Wishes{
			Issuer: n.TLS.Issuer, Challenge: n.TLS.Challenge, KeyType: n.TLS.KeyType, Profile: n.TLS.Profile,
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
