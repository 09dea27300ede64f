// Package migrate reads the certificates and accounts that other proxies have in
// their storage, so that a switch to Portway costs no new orders.
package migrate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Certificate is one that was found, with its key. They belong together.
type Certificate struct {
	Chain, Key []byte // PEM; the certificate first
	CA         string // URL of its ACME directory; empty: not known
	Source     string // where it was found
}

// Account is one at a CA.
type Account struct {
	CA     string // URL of its ACME directory
	Email  string // may be empty
	Key    []byte // PEM
	Source string
}

// Skipped is something that cannot be used.
type Skipped struct{ Source, Why string }

// Found is what a storage has.
type Found struct {
	Kind         string // which proxy's storage it is, for people
	Certificates []Certificate
	Accounts     []Account
	Skipped      []Skipped
}

// Read reads the storage at path: Traefik's acme.json, Caddy's data folder, or the
// folder of certificates of nginx-proxy's acme-companion. Which of them it is, is
// told by what is there.
func Read(path string) (Found, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Found{}, err
	}
	if !info.IsDir() {
		data, err := os.ReadFile(path)
		if err != nil {
			return Found{}, err
		}
		return parseTraefik(data, path)
	}
	if file := filepath.Join(path, "acme.json"); isFile(file) {
		return Read(file)
	}
	for _, dir := range []string{path, filepath.Join(path, "caddy"), filepath.Join(path, "data", "caddy")} {
		if isDir(filepath.Join(dir, "certificates")) {
			return readCaddy(dir)
		}
	}
	found, err := readCompanion(path)
	if err == nil && len(found.Certificates)+len(found.Accounts)+len(found.Skipped) == 0 {
		err = errors.New("there is nothing that Portway knows in " + path +
			": give it Traefik's acme.json, Caddy's data folder, or acme-companion's folder of certificates")
	}
	return found, err
}

// add takes a certificate if it is good for something.
func (f *Found) add(c Certificate) {
	if err := check(c); err != nil {
		f.skip(c.Source, err)
		return
	}
	f.Certificates = append(f.Certificates, c)
}

func (f *Found) skip(source string, why error) {
	f.Skipped = append(f.Skipped, Skipped{source, why.Error()})
}

func check(c Certificate) error {
	pair, err := tls.X509KeyPair(c.Chain, c.Key)
	if err != nil {
		return fmt.Errorf("certificate and key cannot be used: %w", err)
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return err
		}
	}
	if time.Now().After(leaf.NotAfter) {
		return fmt.Errorf("it expired on %s", leaf.NotAfter.Format(time.DateOnly))
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		return errors.New("it is for no name")
	}
	return nil
}

// addAccount takes an account whose key is der or PEM, of any kind.
func (f *Found) addAccount(a Account, key []byte) {
	if block, _ := pem.Decode(key); block != nil {
		key = block.Bytes
	}
	private, err := parseKey(key)
	if err == nil {
		key, err = x509.MarshalPKCS8PrivateKey(private)
	}
	if err != nil {
		f.skip(a.Source, fmt.Errorf("the account's key cannot be used: %w", err))
		return
	}
	a.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	same := func(b Account) bool { return b.CA == a.CA && b.Email == a.Email && slices.Equal(b.Key, a.Key) }
	if !slices.ContainsFunc(f.Accounts, same) {
		f.Accounts = append(f.Accounts, a)
	}
}

func parseKey(der []byte) (any, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return x509.ParsePKCS8PrivateKey(der)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
