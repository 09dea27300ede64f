package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// authority is the CA for public names.
type authority struct {
	magic     *certmagic.Config
	directory string // URL
	host      string // of directory
	ledger    ledger
	issuer    func(*zap.Logger) certmagic.Issuer // a new one for each try, with its own logger
}

// newACME prepares what talks to the CA at directory. The result is a template:
// each try works on a copy with a logger of its own.
func newACME(cfg Config, directory string, magic *certmagic.Config) (*certmagic.ACMEIssuer, error) {
	template := certmagic.ACMEIssuer{
		CA:             directory,
		Agreed:         true,
		AltHTTPPort:    max(cfg.HTTPPort, 0),
		AltTLSALPNPort: max(cfg.TLSPort, 0),
		// Where nothing of ours listens, certmagic would try to, and fail without
		// the permission before it comes to the other challenge.
		DisableHTTPChallenge:    cfg.HTTPPort < 0,
		DisableTLSALPNChallenge: cfg.TLSPort < 0,

		Logger: magic.Logger,
		// Not empty, or certmagic would ask on the terminal. It trims this.
		Email: " ",
	}
	if cfg.HTTPPort < 0 && cfg.TLSPort < 0 {
		return nil, errors.New("without HTTP and HTTPS the CA cannot check that names belong to this machine: open one of them, or let the internal CA certify all names")
	}
	if cfg.Email != "" {
		addr, err := mail.ParseAddress(cfg.Email)
		if err != nil || addr.Address != cfg.Email {
			return nil, fmt.Errorf("the contact address %q for the CA is no e-mail address like admin@example.com", cfg.Email)
		}
		template.Email = cfg.Email
	}
	if cfg.Roots != "" {
		pool, err := readRoots(cfg.Roots)
		if err != nil {
			return nil, err
		}
		template.TrustedRoots = pool
	}
	return certmagic.NewACMEIssuer(magic, template), nil
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

// run makes one attempt: to obtain a certificate, or to renew the stored one.
// After failures, certmagic tries Let's Encrypt's staging CA first, so that
// mistakes do not use up the limits of the real one.
func (a *authority) run(ctx context.Context, t *try, logger *zap.Logger, limit time.Duration, failures int, renew bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx = withTry(ctx, t)
	ctx = context.WithValue(ctx, certmagic.AttemptsCtxKey, &failures)
	cfg := *a.magic
	cfg.Logger = logger
	cfg.Issuers = []certmagic.Issuer{a.issuer(logger)}
	once := func() error {
		if renew {
			return cfg.RenewCertSync(ctx, t.name, false)
		}
		return cfg.ObtainCertSync(ctx, t.name)
	}
	err := once()
	if err != nil && t.hasNewAccount() {
		// certmagic makes a new account, but goes on with the old one. No order
		// was made yet.
		err = once()
	}
	return err
}
