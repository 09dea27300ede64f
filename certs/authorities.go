package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// useAuthorities prepares all CAs, so that any of them can be a name's. Only what
// is wrong with one that cfg uses or defines is an error; of another it is told
// when a name wishes for it.
func (m *Manager) useAuthorities(cfg Config, issuer func(string, *zap.Logger) certmagic.Issuer) error {
	if _, err := keyType(cfg.KeyType); err != nil {
		return err
	}
	all, use, err := resolve(cfg)
	if err != nil {
		return err
	}
	m.prepareMagic()
	m.authorities = make(map[string]*authority, len(all))
	for name, ca := range all {
		a := &authority{CA: ca, known: knownCAs()[name], magic: m.magic}
		if issuer != nil {
			a.issuer = func(log *zap.Logger, _ Wishes) certmagic.Issuer { return issuer(name, log) }
		} else if a.err = a.speakACME(cfg, m); a.err != nil {
			m.authorities[name] = a
			continue
		}
		first := a.issuer(m.magic.Logger, Wishes{})
		m.magic.Issuers = append(m.magic.Issuers, first)
		a.ledger = ledger{storage: m.storage, issuer: first.IssuerKey()}
		a.purse = newPurse(filepath.Join(m.storage.Path, "budget"), ca.Directory, cfg.Limits, challenges(cfg))
		m.authorities[name] = a
	}
	for _, name := range use {
		if name == InternalCA {
			use = nil
			break
		}
		if err := m.authorities[name].err; err != nil {
			return err
		}
	}
	for _, ca := range cfg.CAs {
		if err := m.authorities[ca.Name].err; err != nil {
			return err
		}
	}
	m.use = use
	return nil
}

// prepareMagic makes the configuration that all CAs share. certmagic's cache stays
// empty: it would renew by its own schedule, which is not ours: ours outlasts
// restarts and is visible in Status.
func (m *Manager) prepareMagic() {
	logger := newLogger(m.log, nil)
	var magic atomic.Pointer[certmagic.Config]
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return magic.Load(), nil },
		RenewCheckInterval: m.timing.check,
		Logger:             logger,
	})
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage: m.storage,
		Logger:  logger,
		OCSP:    certmagic.OCSPConfig{DisableStapling: true}, // see staple
		// Each try begins with writing its record there.
		DisableStorageCheck: true,
		OnDemand: &certmagic.OnDemandConfig{
			DecisionFunc: func(context.Context, string) error { return errors.New("not on demand") },
		},
	})
	m.magic.Issuers = nil // it adds one of its own
	magic.Store(m.magic)
}

// speakACME makes a an authority that is asked by ACME.
func (a *authority) speakACME(cfg Config, m *Manager) error {
	template, err := newACME(cfg, a.CA, a.known, m.magic)
	if err != nil {
		return err
	}
	if m.challenge == nil { // it answers for all of them
		m.challenge = func(w http.ResponseWriter, r *http.Request) bool { return template.HandleHTTPChallenge(w, r) }
	}
	a.transport = &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: template.TrustedRoots},
	}
	a.issuer = func(log *zap.Logger, wishes Wishes) certmagic.Issuer {
		one := *template
		one.Logger = log
		one.Profile = wishes.Profile
		return &one
	}
	return nil
}

// chain returns the CAs that may certify a name, in the order in which they are
// asked; none for the internal one.
func (m *Manager) chain(name string, wishes Wishes) ([]*candidate, error) {
	if _, err := keyType(wishes.KeyType); err != nil {
		return nil, err
	}
	use := m.use
	switch wishes.Issuer {
	case "":
	case InternalCA:
		return nil, nil
	default:
		a, ok := m.authorities[wishes.Issuer]
		if !ok {
			all := make(map[string]CA)
			for name := range m.authorities {
				all[name] = CA{}
			}
			return nil, unknownCA(wishes.Issuer, all)
		}
		if a.err != nil {
			return nil, a.err
		}
		use = []string{wishes.Issuer}
	}
	var chain []*candidate
	for _, each := range use {
		if a := m.authorities[each]; !isIP(name) || !a.known.noIPs {
			chain = append(chain, &candidate{authority: a})
		}
	}
	if len(chain) == 0 && len(use) > 0 {
		return nil, fmt.Errorf("%s certifies no IP addresses: wish for another CA, or for the internal one", use[0])
	}
	return chain, nil
}
