package route

import (
	"net/url"
	"strings"

	"portway/internal/redact"
	"portway/label"
)

// TLS is what a route wishes of the certificates for its hosts. An empty field is no
// wish. What the words mean is for package certs to say.
type TLS struct {
	Issuer    string // name of a CA
	Challenge string // how the CA checks that the name is ours
	KeyType   string
	Profile   string // of certificates, as the CA calls it
	Wildcard  string // whether the wildcard above is to cover the hosts
	OnDemand  OnDemand
}

// OnDemand says which hosts that a wildcard or a pattern fits get a certificate, each
// its own, when their first visitor comes. Without either none does; with both, both
// have to agree.
type OnDemand struct {
	Ask   string // URL that answers 200 for a host that is to be served
	Allow string // regular expression that the host fits
}

// tls binds the options for certificates.
func (o *Options) tls(s *label.Set) {
	s.Func("tls.issuer", "name",
		"Who issues the certificate for the route's hosts: `letsencrypt`, `letsencrypt-staging`, `zerossl`, `google`, `internal`, or a CA that the setting `ca` defines. Without, the one that the settings say.",
		func(value string) error {
			if !label.ValidName(value) {
				return &label.Error{Why: label.Quote(value) + " is no name of a CA", Fix: "use a-z, 0-9 and -, for example letsencrypt"}
			}
			o.TLS.Issuer = value
			return nil
		}, label.Example("letsencrypt-staging"))
	label.Enum(s, &o.TLS.Challenge, "tls.challenge", "", []string{"http-01", "tls-alpn-01", "dns-01"},
		"How the CA checks that the route's hosts belong to you. Without, what can work is tried.",
		label.Example("tls-alpn-01"))
	label.Enum(s, &o.TLS.KeyType, "tls.key-type", "", []string{"ec256", "ec384", "rsa2048", "rsa4096"},
		"Kind of the certificate's key, for old clients that know only RSA. Without, the one that the settings say.",
		label.Example("rsa2048"))
	s.Func("tls.profile", "name",
		"Profile of the certificate, by the CA's name for it. At Let's Encrypt `shortlived` certificates are good for six days.",
		func(value string) error {
			if !label.ValidName(strings.ToLower(value)) {
				return &label.Error{Why: label.Quote(value) + " is no name of a profile", Fix: "use letters, digits and -, for example shortlived"}
			}
			o.TLS.Profile = value
			return nil
		}, label.Example("shortlived"))
	s.Func("tls.on-demand.ask", "URL",
		"Who says whether a host that `*` or `host.regexp` fits may have a certificate, when its first visitor comes: asked with `?domain=HOST`, 200 means yes.",
		func(value string) error {
			u, err := url.Parse(value)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return &label.Error{Why: label.Quote(redact.URL(value)) + " is no URL", Fix: "write one like http://app:8080/may-have-a-certificate"}
			}
			o.TLS.OnDemand.Ask = value
			return nil
		}, label.Example("http://app:8080/tls-check"), label.Shown(redact.URL))
	s.Func("tls.on-demand.allow", "regular expression",
		"Which of the hosts that `*` or `host.regexp` fits may have a certificate, when its first visitor comes; together with `tls.on-demand.ask` both have to agree.",
		func(value string) error {
			_, err := label.Pattern(value)
			o.TLS.OnDemand.Allow = value
			return err
		}, label.Example("[a-z0-9-]+[.]customers[.]example[.]com"))
	label.Enum(s, &o.TLS.Wildcard, "tls.wildcard", "", []string{"always", "never"},
		"`always`: the route's hosts are served by one wildcard certificate for all hosts beside them (`*.example.com` for `app.example.com`), which needs a DNS provider; `never`: by one of their own. Without, by a wildcard certificate if another route needs that anyway.",
		label.Example("always"))
}
