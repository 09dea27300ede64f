package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// zeroSSLBinding hands out what binds an account to an e-mail address.
const zeroSSLBinding = "https://api.zerossl.com/acme/eab-credentials-email"

// zeroSSLAccount fetches from ZeroSSL what binds a new account to the e-mail
// address. It needs no account there beforehand.
func zeroSSLAccount(ctx context.Context, issuer *certmagic.ACMEIssuer, account acme.Account) (acme.Account, error) {
	eab, err := fetchBinding(ctx, zeroSSLBinding, issuer.Email)
	if err != nil {
		return account, fmt.Errorf("ZeroSSL gives no account for %s: %w", issuer.Email, err)
	}
	issuer.ExternalAccount = eab
	return account, nil
}

func fetchBinding(ctx context.Context, from, email string) (*acme.EAB, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, from, strings.NewReader(url.Values{"email": {email}}.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Success bool   `json:"success"`
		KeyID   string `json:"eab_kid"`
		Key     string `json:"eab_hmac_key"`
		Error   struct {
			Type string `json:"type"`
		} `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", resp.Status, err)
	}
	if !answer.Success || answer.KeyID == "" || answer.Key == "" {
		return nil, errors.New(strings.TrimSpace(resp.Status + " " + answer.Error.Type))
	}
	return &acme.EAB{KeyID: answer.KeyID, MACKey: answer.Key}, nil
}
