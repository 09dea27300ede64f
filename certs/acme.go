package certs

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// authority is a CA that can be asked.
type authority struct {
	CA
	known  knownCA // zero for a CA that is not
	magic  *certmagic.Config
	ledger ledger
	purse  purse
	issuer func(*zap.Logger, Wishes) certmagic.Issuer // a new one for each try, with its own logger
	err    error                                      // why it cannot be asked after all

	transport *http.Transport // for what certmagic does not do

	mu       sync.Mutex
	failures int       // in a row that were the CA's own
	until    time.Time // when names that have another CA ask this one again
}

// newACME prepares what talks to the CA. The result is a template: each try works
// on a copy with a logger of its own.
func newACME(cfg Config, ca CA, known knownCA, magic *certmagic.Config) (*certmagic.ACMEIssuer, error) {
	if _, err := parseDirectory(ca.Directory); err != nil {
		return nil, err
	}
	template := certmagic.ACMEIssuer{
		CA:             ca.Directory,
		Profile:        ca.Profile,
		Agreed:         true,
		AltHTTPPort:    max(cfg.HTTPPort, 0),
		AltTLSALPNPort: max(cfg.TLSPort, 0),
		// Where nothing of ours listens, certmagic would try to, and fail without
		// the permission before it comes to the other challenge.
		DisableHTTPChallenge:    cfg.HTTPPort < 0,
		DisableTLSALPNChallenge: cfg.TLSPort < 0,
		PreferredChains:         certmagic.ChainPreference{AnyCommonName: ca.PreferredChain},

		Logger: magic.Logger,
		// Not empty, or certmagic would ask on the terminal. It trims this.
		Email: " ",
	}
	if cfg.HTTPPort < 0 && cfg.TLSPort < 0 && cfg.DNS == nil {
		return nil, errors.New("without HTTP and HTTPS the CA cannot check that names belong to this machine: open one of them, set a DNS provider, or let the internal CA certify all names")
	}
	if cfg.Email != "" {
		addr, err := mail.ParseAddress(cfg.Email)
		if err != nil || addr.Address != cfg.Email {
			return nil, fmt.Errorf("the contact address %q for the CA is no e-mail address like admin@example.com", cfg.Email)
		}
		template.Email = cfg.Email
	}
	if err := bindAccount(&template, cfg, ca, known); err != nil {
		return nil, err
	}
	template.NewAccountFunc = keepKey(magic.Storage, template.NewAccountFunc)
	if file := cmp.Or(ca.Roots, cfg.Roots); file != "" {
		pool, err := readRoots(file)
		if err != nil {
			return nil, err
		}
		template.TrustedRoots = pool
	}
	return certmagic.NewACMEIssuer(magic, template), nil
}

// bindAccount tells the template how an account is bound to one that the CA has
// already (RFC 8555 section 7.3.4).
func bindAccount(template *certmagic.ACMEIssuer, cfg Config, ca CA, known knownCA) error {
	switch {
	case (ca.EABKeyID == "") != (ca.EABKey == ""):
		return fmt.Errorf("the CA %s has only one half of its external account binding: give both the key id and the key", ca.Name)
	case ca.EABKey != "":
		// CAs hand keys out in either alphabet of base64, and with padding or without.
		key := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(strings.TrimSpace(ca.EABKey))
		template.ExternalAccount = &acme.EAB{KeyID: strings.TrimSpace(ca.EABKeyID), MACKey: key}
	case ca.Name == zeroSSL && cfg.Email != "":
		template.NewAccountFunc = zeroSSLAccount
	case known.needsEAB:
		return fmt.Errorf("the CA %s wants accounts that are bound to one that you have there: give the key id and the key (EAB) that it shows you", ca.Name)
	}
	return nil
}

func readRoots(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the roots for the ACME directory cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("the roots for the ACME directory: there is no PEM certificate in %s", file)
	}
	return pool, nil
}

// order is what one try is to get.
type order struct {
	wishes   Wishes
	way      way
	keyType  certmagic.KeyType
	reuseKey bool
	failures int           // tries that failed before
	renewal  bool          // of a certificate by the same CA
	limit    time.Duration // the longest that it may take
	force    bool          // though the stored certificate is good
}

// justRenewed makes certmagic leave a certificate alone that another process has
// renewed while this one waited for the lock; when to renew is decided here before.
const justRenewed = 0.99

// run makes one attempt: to obtain a certificate, or to renew the stored one.
// After failures, certmagic tries Let's Encrypt's staging CA first, so that
// mistakes do not use up the limits of the real one.
func (a *authority) run(ctx context.Context, t *try, logger *zap.Logger, o order) error {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	ctx = withTry(ctx, t)
	ctx = context.WithValue(ctx, certmagic.AttemptsCtxKey, &o.failures)
	cfg := *a.magic
	cfg.Logger = logger
	issuer := a.issuer(logger, o.wishes)
	if one, ok := issuer.(*certmagic.ACMEIssuer); ok {
		o.way.use(one)
	}
	cfg.Issuers = []certmagic.Issuer{issuer}
	cfg.KeySource = certmagic.StandardKeyGenerator{KeyType: o.keyType}
	cfg.ReusePrivateKeys = o.reuseKey
	cfg.RenewalWindowRatio = justRenewed
	// It obtains one if this CA's part of the storage has none.
	once := func() error { return cfg.RenewCertSync(ctx, t.name, o.force) }
	return a.spend(ctx, t, o, func() error {
		err := once()
		if err != nil && t.hasNewAccount() {
			// certmagic makes a new account, but goes on with the old one. No order
			// was made yet.
			err = once()
		}
		return err
	})
}

// ill notes a failure that was the CA's own, as when it cannot be reached. Names
// that can turn to another CA leave this one alone for a while, so that not each
// of them waits for it.
func (a *authority) ill(now time.Time, b backoff, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failures++
	a.until = now.Add(max(b.delay(a.failures), min(wait, longestWait)))
}

// well notes that the CA works.
func (a *authority) well() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failures, a.until = 0, time.Time{}
}

// pausedUntil is when the CA is asked again; zero: at any time.
func (a *authority) pausedUntil() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.until
}
