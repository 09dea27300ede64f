package certs

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
)

// CA is a certification authority that speaks ACME.
type CA struct {
	Name      string
	Directory string // ACME directory URL; may be empty for a CA that is known by its name
	Roots     string // PEM file of roots to trust when speaking to Directory; empty: as Config says

	// What binds an account there to one that the CA has already (RFC 8555 section
	// 7.3.4); empty: nothing.
	EABKeyID, EABKey string

	Profile string // of certificates, by the CA's name for it; empty: the CA's default

	// PreferredChain has the common names of roots, or of any other issuer in a chain.
	// Of the chains that the CA offers, the first with one of them is taken.
	PreferredChain []string
}

// CAError is what is wrong with a CA that Config uses or defines.
type CAError struct{ err error }

func (e *CAError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *CAError) Unwrap() error { return e.err }

// The names that are special in Config.Use and Wishes.Issuer.
const (
	InternalCA = "internal"
	zeroSSL    = "zerossl"
)

// knownCA is what is known about a public CA beforehand.
type knownCA struct {
	directory string
	needsEAB  bool
	noIPs     bool   // it certifies no IP addresses by ACME
	ipProfile string // the profile that has to be asked for with an IP address
}

func knownCAs() map[string]knownCA {
	return map[string]knownCA{
		"letsencrypt":         {directory: certmagic.LetsEncryptProductionCA, ipProfile: "shortlived"},
		"letsencrypt-staging": {directory: certmagic.LetsEncryptStagingCA, ipProfile: "shortlived"},
		zeroSSL:               {directory: certmagic.ZeroSSLProductionCA, needsEAB: true, noIPs: true},
		"google":              {directory: certmagic.GoogleTrustProductionCA, needsEAB: true},
		"google-staging":      {directory: certmagic.GoogleTrustStagingCA, needsEAB: true},
	}
}

// resolve completes what cfg says about CAs: all of them by name, and those that
// are asked for names without a wish, in order.
func resolve(cfg Config) (all map[string]CA, use []string, err error) {
	all = make(map[string]CA)
	for name, k := range knownCAs() {
		all[name] = CA{Name: name, Directory: k.directory}
	}
	for _, ca := range cfg.CAs {
		if ca.Directory == "" {
			ca.Directory = all[ca.Name].Directory
		}
		if ca.Name == InternalCA {
			return nil, nil, errors.New("no CA can be defined under the name internal, which is the built-in one's")
		}
		if ca.Directory == "" {
			return nil, nil, fmt.Errorf("the CA %s has no directory: give the URL of its ACME directory", ca.Name)
		}
		all[ca.Name] = ca
	}
	use = cfg.Use
	switch {
	case len(use) > 0:
	case cfg.Internal:
		use = []string{InternalCA}
	case cfg.Directory != "":
		if _, err := parseDirectory(cfg.Directory); err != nil {
			return nil, nil, err
		}
		use = []string{cfg.Directory}
	default:
		use = []string{"letsencrypt"}
		if cfg.Email != "" || all[zeroSSL].EABKey != "" {
			use = append(use, zeroSSL)
		}
	}
	use = slices.Clone(use)
	for i, name := range use {
		if strings.Contains(name, "://") {
			u, err := parseDirectory(name)
			if err != nil {
				return nil, nil, err
			}
			use[i] = u.Host
			all[u.Host] = CA{Name: u.Host, Directory: name}
			continue
		}
		if name == InternalCA && len(use) > 1 {
			return nil, nil, errors.New("the internal CA cannot stand in for others: visitors do not trust it; let it certify all names, or give single routes to it")
		}
		if _, ok := all[name]; !ok && name != InternalCA {
			return nil, nil, unknownCA(name, all)
		}
	}
	return all, use, nil
}

// Asked gives the CAs that cfg asks for names without a wish, in order, with their
// directories and roots; none if that is the internal one.
func Asked(cfg Config) ([]CA, error) {
	all, use, err := resolve(cfg)
	if err != nil {
		return nil, err
	}
	var asked []CA
	for _, name := range use {
		ca := all[name]
		if name == InternalCA {
			continue
		}
		if ca.Roots == "" {
			ca.Roots = cfg.Roots
		}
		asked = append(asked, ca)
	}
	return asked, nil
}

func unknownCA(name string, all map[string]CA) error {
	names := []string{InternalCA}
	for known := range all {
		names = append(names, known)
	}
	slices.Sort(names)
	return fmt.Errorf("there is no CA %q: choose one of %s, or define it", name, strings.Join(names, ", "))
}

func parseDirectory(directory string) (*url.URL, error) {
	u, err := url.Parse(directory)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return nil, fmt.Errorf("the ACME directory %q is no URL like %s", directory, certmagic.LetsEncryptProductionCA)
	case u.Scheme == "http" && !certmagic.SubjectIsInternal(u.Host):
		return nil, fmt.Errorf("the ACME directory %q is not encrypted: use https", directory)
	}
	return u, nil
}
