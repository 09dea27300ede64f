package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
)

// traefikResolver is one certificate resolver of acme.json. Bytes are in base64.
type traefikResolver struct {
	Account *struct {
		Email        string
		Registration *struct {
			URI string `json:"uri"`
		}
		PrivateKey []byte
	}
	Certificates []struct {
		Domain struct {
			Main string   `json:"main"`
			SANs []string `json:"sans"`
		} `json:"domain"`
		Certificate []byte `json:"certificate"`
		Key         []byte `json:"key"`
	}
}

// parseTraefik reads Traefik's acme.json, of version 2 and 3: resolvers by name.
func parseTraefik(data []byte, path string) (Found, error) {
	f := Found{Kind: "Traefik's acme.json"}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(data, &file); err != nil {
		return f, fmt.Errorf("%s is not Traefik's acme.json: %w", path, err)
	}
	known := false
	for _, name := range slices.Sorted(maps.Keys(file)) {
		var r traefikResolver
		source := path + ", resolver " + name
		if err := json.Unmarshal(file[name], &r); err != nil {
			f.skip(source, fmt.Errorf("not understood: %w", err))
			continue
		}
		if r.Account == nil && r.Certificates == nil {
			continue
		}
		known = true
		ca := ""
		if r.Account != nil && r.Account.Registration != nil {
			ca = directoryOf(r.Account.Registration.URI)
		}
		for _, c := range r.Certificates {
			f.add(Certificate{Chain: c.Certificate, Key: c.Key, CA: ca, Source: source + ", " + c.Domain.Main})
		}
		switch {
		case r.Account == nil || len(r.Account.PrivateKey) == 0:
		case ca == "":
			f.skip(source+", account", errors.New("its CA is not known"))
		default:
			f.addAccount(Account{CA: ca, Email: r.Account.Email, Source: source + ", account"}, r.Account.PrivateKey)
		}
	}
	if !known && len(f.Skipped) == 0 {
		return f, fmt.Errorf("%s is not Traefik's acme.json: there is no resolver with certificates in it (version 1 of Traefik is not supported)", path)
	}
	return f, nil
}

// directoryOf gives the ACME directory of the CA that an account's URL belongs to;
// empty: not known.
func directoryOf(account string) string {
	u, err := url.Parse(account)
	if err != nil {
		return ""
	}
	switch u.Host {
	case "acme-v02.api.letsencrypt.org", "acme-staging-v02.api.letsencrypt.org":
		return "https://" + u.Host + "/directory"
	case "acme.zerossl.com":
		return "https://acme.zerossl.com/v2/DV90"
	case "dv.acme-v02.api.pki.goog", "dv.acme-v02.test-api.pki.goog":
		return "https://" + u.Host + "/directory"
	case "":
		return ""
	default:
		return u.Scheme + "://" + u.Host // of which CA's directory the host is told
	}
}
