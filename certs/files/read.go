package files

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"software.sslmate.com/src/go-pkcs12"
)

const (
	maxFile  = 1 << 20 // a chain has a few KiB
	maxFiles = 10_000
	maxDepth = 4
)

// content is what one file holds.
type content struct {
	path  string
	certs []*x509.Certificate
	keys  []crypto.Signer
}

// list finds all files of the folder, through links too. Names that begin with a dot
// are left out: editors' and Kubernetes' own.
func list(folder string) (paths []string, err error) {
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || len(paths) >= maxFiles {
				continue
			}
			path := filepath.Join(dir, e.Name())
			info, err := os.Stat(path)
			switch {
			case err != nil: // a link to nowhere; or it vanished just now
				paths = append(paths, path)
			case info.IsDir():
				if depth < maxDepth {
					if err := walk(path, depth+1); err != nil {
						paths = append(paths, path)
					}
				}
			default:
				paths = append(paths, path)
			}
		}
		return nil
	}
	err = walk(folder, 0)
	return paths, err
}

// readFile reads a file of PEM, or PKCS#12 by its name. One without any PEM gives nil
// and no error: it is not about certificates.
func readFile(path, password string) (*content, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		data = data[:0] // something else
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".p12", ".pfx":
		return parsePKCS12(path, data, password)
	default:
		return parsePEM(path, data)
	}
}

// parsePKCS12 reads a certificate with its key and chain (RFC 7292).
func parsePKCS12(path string, data []byte, password string) (*content, error) {
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) && password != "" {
		key, leaf, chain, err = pkcs12.DecodeChain(data, "")
	}
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return nil, errPassword
	case err != nil:
		return nil, fmt.Errorf("it cannot be read (%w)", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it holds a private key that cannot sign")
	}
	return &content{path: path, certs: append([]*x509.Certificate{leaf}, chain...), keys: []crypto.Signer{signer}}, nil
}

var errPassword = errors.New("it has another password")

var begin = []byte("-----BEGIN ")

func parsePEM(path string, data []byte) (*content, error) {
	c := &content{path: path}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		switch {
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("it holds a certificate that cannot be read (%w)", err)
			}
			c.certs = append(c.certs, cert)
		case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
			return nil, errEncrypted
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key, err := parseKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			c.keys = append(c.keys, key)
		}
	}
	if bytes.Contains(data, begin) {
		return nil, errors.New("it ends in the middle of a PEM block, or is damaged")
	}
	if len(c.certs)+len(c.keys) == 0 {
		return nil, nil
	}
	return c, nil
}

var errEncrypted = errors.New("its key is encrypted")

func parseKey(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("it holds a private key that cannot be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it holds a private key that cannot sign")
	}
	return signer, nil
}

// pair makes certificates of what the files hold. What has no partner is a problem,
// unless it is a CA's.
func pair(contents []*content) (certs []*Certificate, problems []Problem) {
	keys := make(map[string]crypto.Signer) // by public key
	for _, c := range contents {
		for _, key := range c.keys {
			keys[publicKey(key.Public())] = key
		}
	}
	used := make(map[string]bool)
	for _, c := range contents {
		found := false
		for _, leaf := range c.certs {
			id := string(leaf.RawSubjectPublicKeyInfo)
			key := keys[id]
			if key == nil || leaf.IsCA && len(Names(leaf)) == 0 {
				continue
			}
			used[id], found = true, true
			if len(Names(leaf)) == 0 {
				problems = append(problems, Problem{c.path, "its certificate names no host or address (only a common name, which clients do not look at)", "get one with subject alternative names"})
				continue
			}
			sum := sha256.Sum256(leaf.Raw)
			certs = append(certs, &Certificate{
				TLS:  tls.Certificate{Certificate: chain(leaf, c, contents), PrivateKey: key, Leaf: leaf},
				Path: c.path, Serial: leaf.SerialNumber.Text(16), Fingerprint: hex.EncodeToString(sum[:]), KeyType: KeyType(leaf),
			})
		}
		if !found && len(c.certs) > 0 && !c.certs[0].IsCA {
			problems = append(problems, Problem{c.path, "there is no private key for its certificate", "put the key into the folder, in any file that Portway may read"})
		}
	}
	for _, c := range contents {
		for _, key := range c.keys {
			if !used[publicKey(key.Public())] && len(c.certs) == 0 {
				problems = append(problems, Problem{c.path, "there is no certificate for its private key", "put the certificate into the folder, or remove the key"})
			}
		}
	}
	return certs, problems
}

// publicKey is a key in the form in which certificates have it.
func publicKey(key crypto.PublicKey) string {
	der, _ := x509.MarshalPKIXPublicKey(key) // of a kind that was parsed before
	return string(der)
}

// chain puts what leads from leaf to its root in order, without the root. Where the
// leaf's own file lacks something, another one in the same folder may have it.
func chain(leaf *x509.Certificate, own *content, all []*content) [][]byte {
	const longest = 8
	der := [][]byte{leaf.Raw}
	folder := filepath.Dir(own.path)
	for at := leaf; len(der) < longest; {
		next := issuer(at, own)
		for i := 0; next == nil && i < len(all); i++ {
			if filepath.Dir(all[i].path) == folder {
				next = issuer(at, all[i])
			}
		}
		if next == nil {
			break
		}
		if bytes.Equal(next.RawIssuer, next.RawSubject) {
			break
		}
		der = append(der, next.Raw)
		at = next
	}
	return der
}

func issuer(cert *x509.Certificate, in *content) *x509.Certificate {
	for _, c := range in.certs {
		if c != cert && c.IsCA && bytes.Equal(c.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

// explain says what is wrong with a file, and what to do.
func explain(path string, err error) Problem {
	p := Problem{Path: path, Why: err.Error(), Fix: "write it anew"}
	var wrong *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		p.Why = fmt.Sprintf("Portway, which runs as user %d, may not read it", os.Geteuid())
		p.Fix = fmt.Sprintf("let that user read it, for example by chown %d %s", os.Geteuid(), path)
	case errors.Is(err, fs.ErrNotExist):
		p.Why, p.Fix = "it is a link to a file that is not there", "mount the folder that the link leads to as well, or copy the file"
	case errors.Is(err, errPassword):
		p.Fix = "give its password to Portway by --certificates-password, or make it anew without one"
	case errors.Is(err, errEncrypted):
		p.Fix = "decrypt it: openssl pkey -in KEY -out NEW"
	case errors.As(err, &wrong):
		p.Why, p.Fix = wrong.Err.Error(), "check the file and its disk"
	}
	return p
}
