package migrate

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// readCaddy reads Caddy's data folder:
//
//	certificates/<CA>/<name>/<name>.crt, .key and .json
//	acme/<CA>/users/<email>/<user>.key
func readCaddy(dir string) (Found, error) {
	f := Found{Kind: "Caddy's storage"}
	err := filepath.WalkDir(filepath.Join(dir, "certificates"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".crt" {
			return err
		}
		base := strings.TrimSuffix(path, ".crt")
		if filepath.Base(filepath.Dir(filepath.Dir(path))) == "local" {
			return nil // by Caddy's internal CA, which devices will not trust here
		}
		c := Certificate{Source: path}
		var meta struct {
			Data struct {
				CA string `json:"ca"`
			} `json:"issuer_data"`
		}
		if data, err := os.ReadFile(base + ".json"); err == nil && json.Unmarshal(data, &meta) == nil {
			c.CA = meta.Data.CA
		}
		f.read(c, path, base+".key")
		return nil
	})
	if err != nil {
		return f, err
	}
	keys, err := filepath.Glob(filepath.Join(dir, "acme", "*", "users", "*", "*.key"))
	if err != nil {
		return f, err
	}
	for _, path := range keys {
		email := filepath.Base(filepath.Dir(path))
		if !strings.Contains(email, "@") {
			email = "" // certmagic's word for none
		}
		ca := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(path))))
		f.readAccount(Account{CA: caddyDirectory(ca), Email: email, Source: path}, path)
	}
	return f, nil
}

// caddyDirectory gives the URL of a directory that Caddy has as a folder's name,
// in which hyphens stand for slashes. Hosts have hyphens too, so only the known ones
// can be told.
func caddyDirectory(folder string) string {
	for _, known := range []string{
		"https://acme-v02.api.letsencrypt.org/directory", "https://acme-staging-v02.api.letsencrypt.org/directory",
		"https://acme.zerossl.com/v2/DV90", "https://dv.acme-v02.api.pki.goog/directory",
	} {
		if strings.EqualFold(strings.ReplaceAll(strings.TrimPrefix(known, "https://"), "/", "-"), folder) {
			return known
		}
	}
	host, _, _ := strings.Cut(folder, "-directory")
	return "https://" + host
}

// readCompanion reads the folder of certificates that acme-companion shares with
// nginx-proxy, or acme.sh's own:
//
//	<name>/fullchain.pem and key.pem     by acme-companion
//	<name>/fullchain.cer and <name>.key  by acme.sh; <name>_ecc for ECDSA
//	…/ca/<host>/…/account.key            of the account, and account.json
func readCompanion(dir string) (Found, error) {
	f := Found{Kind: "acme-companion's certificates"}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		folder := filepath.Dir(path)
		switch d.Name() {
		case "fullchain.pem":
			f.read(Certificate{Source: path}, path, filepath.Join(folder, "key.pem"))
		case "fullchain.cer":
			name := strings.TrimSuffix(filepath.Base(folder), "_ecc")
			f.read(Certificate{Source: path}, path, filepath.Join(folder, name+".key"))
		case "account.key":
			if ca := companionCA(dir, path); ca != "" {
				f.readAccount(Account{CA: ca, Email: companionEmail(folder), Source: path}, path)
			}
		}
		return nil
	})
	return f, err
}

// companionCA finds the CA in the path of an account: what follows a folder "ca" is
// its directory's URL without the scheme.
func companionCA(dir, path string) string {
	rel, err := filepath.Rel(dir, filepath.Dir(path))
	if err != nil {
		return ""
	}
	parts := strings.Split(filepath.ToSlash(rel), "/")
	for i, part := range parts {
		if part == "ca" && i+1 < len(parts) {
			return "https://" + strings.Join(parts[i+1:], "/")
		}
	}
	return ""
}

func companionEmail(folder string) string {
	var account struct {
		Contact []string `json:"contact"`
	}
	data, err := os.ReadFile(filepath.Join(folder, "account.json"))
	if err == nil && json.Unmarshal(data, &account) == nil && len(account.Contact) > 0 {
		return strings.TrimPrefix(account.Contact[0], "mailto:")
	}
	return ""
}

// read adds the certificate whose files are chain and key.
func (f *Found) read(c Certificate, chain, key string) {
	var err error
	if c.Chain, err = os.ReadFile(chain); err == nil {
		c.Key, err = os.ReadFile(key)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("its key " + filepath.Base(key) + " is missing")
	}
	if err != nil {
		f.skip(c.Source, err)
		return
	}
	for _, known := range f.Certificates { // folders of nginx-proxy have links to others
		if string(known.Chain) == string(c.Chain) {
			return
		}
	}
	f.add(c)
}

func (f *Found) readAccount(a Account, path string) {
	key, err := os.ReadFile(path)
	if err != nil {
		f.skip(a.Source, err)
		return
	}
	f.addAccount(a, key)
}
