// Package origintls says how the TLS of origins is checked, and by what Portway shows
// them who it is: the labels for routes with scheme https.
package origintls

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strings"

	"portway/label"
)

// Options are those of one route. Equal ones mean the same: they can be compared by ==.
type Options struct {
	verify     choice
	ca         string // PEM
	serverName string
	cert, key  string // PEM
}

var _ label.Binder = (*Options)(nil)

// choice is a bool that may not be given.
type choice string

const (
	byAddress choice = "" // not given
	yes       choice = "true"
	no        choice = "false"
)

// Labels binds origin-tls.verify and its like.
func (o *Options) Labels(s *label.Set) {
	s.Func("origin-tls.verify", "true/false",
		"Whether the certificate of an `https` origin must be good. Without, it must be at public addresses, and where `origin-tls.ca` is given: no public CA certifies private addresses, so the network is trusted there as it is for plain HTTP.",
		func(value string) error {
			if value != string(yes) && value != string(no) {
				return &label.Error{Why: label.Quote(value) + " is neither true nor false", Fix: "write true or false"}
			}
			o.verify = choice(value)
			return nil
		}, label.Example("true"))
	s.Func("origin-tls.ca", "PEM certificates", "CAs, or the certificate itself, that the origin's must be by. Without, the system's CAs.",
		func(value string) error {
			if !x509.NewCertPool().AppendCertsFromPEM([]byte(value)) {
				return &label.Error{Why: "there is no PEM certificate in it", Fix: "give file:/path of a file with the CA's certificate", Safe: true}
			}
			o.ca = value
			return nil
		}, label.Secret(), label.Example("file:/run/secrets/origin-ca.pem"))
	s.Check("origin-tls.ca", func() error {
		if o.verify == no {
			return &label.Error{Why: "means nothing while origin-tls.verify is false", Fix: "remove one of the two", Safe: true}
		}
		return nil
	})
	s.Func("origin-tls.server-name", "name", "Name that the origin is asked for (SNI), and that its certificate must have. Without, its address.",
		func(value string) error {
			if strings.ContainsAny(value, " /:*@") || len(value) > 253 {
				return &label.Error{Why: label.Quote(value) + " is no name of a server", Fix: "write a host name without port, for example app.internal"}
			}
			o.serverName = value
			return nil
		}, label.Example("app.internal"))
	s.Func("origin-tls.cert", "PEM certificate", "Client certificate that Portway shows the origin, with what leads to its CA.",
		func(value string) error {
			o.cert = value
			return nil
		}, label.Secret(), label.Needs("origin-tls.key"), label.Example("file:/run/secrets/portway.pem"))
	s.Func("origin-tls.key", "PEM key", "Its private key.", func(value string) error {
		o.key = value
		return nil
	}, label.Secret(), label.Needs("origin-tls.cert"), label.Example("file:/run/secrets/portway.key"))
	s.Check("origin-tls.cert", func() error {
		if _, err := tls.X509KeyPair([]byte(o.cert), []byte(o.key)); err != nil {
			return &label.Error{Why: "it and origin-tls.key are no certificate with its key", Fix: "give file:/path of two PEM files that belong together", Safe: true}
		}
		return nil
	})
}

// Config is what a connection to the origin at address is made with. Without a
// ServerName, package upstream takes the one in the address.
func (o Options) Config(address string) *tls.Config {
	cfg := &tls.Config{ServerName: o.serverName}
	if o.verify == no || o.verify == byAddress && o.ca == "" && private(address) {
		cfg.InsecureSkipVerify = true
	}
	if o.ca != "" {
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM([]byte(o.ca))
	}
	if o.cert != "" {
		if pair, err := tls.X509KeyPair([]byte(o.cert), []byte(o.key)); err == nil { // Labels has looked at it
			cfg.Certificates = []tls.Certificate{pair}
		}
	}
	return cfg
}

// private tells whether address is an IP address that public CAs do not certify.
func private(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast())
}
