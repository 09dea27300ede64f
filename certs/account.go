package certs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// certmagic's own limiter lets ten orders through in ten seconds, whatever the
// CA. Ours knows what each CA allows (package budget) and outlasts restarts.
func init() { certmagic.RateLimitEvents, certmagic.RateLimitEventsWindow = 0, 0 }

// accountFunc completes an account before the CA is told of it.
type accountFunc = func(context.Context, *certmagic.ACMEIssuer, acme.Account) (acme.Account, error)

// keepKey stores the key of an account before the CA is told of it. certmagic
// stores both afterwards, so that an account would be lost, with its limits and
// its history, if Portway were killed in between; now the CA gives the same
// account to the same key (RFC 8555 section 7.3.1). next, if it is not nil, comes after that.
func keepKey(store certmagic.Storage, next accountFunc) accountFunc {
	return func(ctx context.Context, issuer *certmagic.ACMEIssuer, account acme.Account) (acme.Account, error) {
		account, err := ownKey(ctx, store, issuer, account)
		if err == nil && next != nil {
			account, err = next(ctx, issuer, account)
		}
		return account, err
	}
}

// accountKey is where the key of an account is kept.
func accountKey(issuer, email string) string {
	safe := certmagic.StorageKeys.Safe
	return path.Join("account-keys", safe(issuer), safe(cmp.Or(email, "default"))+".key")
}

func ownKey(ctx context.Context, store certmagic.Storage, issuer *certmagic.ACMEIssuer, account acme.Account) (acme.Account, error) {
	contact := ""
	if len(account.Contact) > 0 {
		contact = strings.TrimPrefix(account.Contact[0], "mailto:")
	}
	key := accountKey(issuer.IssuerKey(), contact)
	kept, err := store.Load(ctx, key)
	switch {
	case err == nil:
		if signer, err := certmagic.PEMDecodePrivateKey(kept); err == nil {
			account.PrivateKey = signer
			return account, nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return account, fmt.Errorf("the key of the account cannot be read: %w", err)
	}
	data, err := certmagic.PEMEncodePrivateKey(account.PrivateKey)
	if err != nil {
		return account, err
	}
	return account, store.Store(ctx, key, data)
}
