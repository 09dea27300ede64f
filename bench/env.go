package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"portway/internal/freeport"
)

// host is the name that every peer serves.
const host = "bench.localhost"

// environment is what all peers share.
type environment struct {
	work       string // absolute
	bin        string // absolute
	originAddr string
	grpcAddr   string
	certFile   string // chain: leaf and intermediate, as the internal CA of Portway issues it
	keyFile    string
	bothFile   string // chain and key in one, for HAProxy
	openssl    string // OPENSSL_CONF that pins wrk and h2load to one cipher
	origin     *originServer
}

func newEnv(work string, o options) (*environment, error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	e := &environment{
		work: work, bin: bin,
		certFile: filepath.Join(work, "chain.pem"), keyFile: filepath.Join(work, "key.pem"),
		bothFile: filepath.Join(work, "both.pem"), openssl: filepath.Join(work, "openssl.cnf"),
	}
	if e.originAddr, err = freeport.On("127.0.0.1"); err != nil {
		return nil, err
	}
	if e.grpcAddr, err = freeport.On("127.0.0.1"); err != nil {
		return nil, err
	}
	conf := "openssl_conf = top\n[top]\nssl_conf = ssl\n[ssl]\nsystem_default = default\n" +
		"[default]\nMinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\n"
	if err := os.WriteFile(e.openssl, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if err := payloads(e); err != nil {
		return nil, err
	}
	return e, e.makeCertificate()
}

// makeCertificate makes an ECDSA P-256 leaf below an intermediate: the same
// shape, and so the same handshake, as Portway's internal CA gives it.
func (e *environment) makeCertificate() error {
	issue := func(cn string, ca bool, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			return nil, nil, err
		}
		t := &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: cn},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: ca,
		}
		if ca {
			t.KeyUsage = x509.KeyUsageCertSign
		} else {
			t.DNSNames = []string{host}
			t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}
		if parent == nil {
			parent, parentKey = t, key
		}
		der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, parentKey)
		if err != nil {
			return nil, nil, err
		}
		cert, err := x509.ParseCertificate(der)
		return cert, key, err
	}
	root, rootKey, err := issue("bench root", true, nil, nil)
	if err != nil {
		return err
	}
	inter, interKey, err := issue("bench intermediate", true, root, rootKey)
	if err != nil {
		return err
	}
	leaf, leafKey, err := issue(host, false, inter, interKey)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return err
	}
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: inter.Raw})...)
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for name, content := range map[string][]byte{e.certFile: chain, e.keyFile: key, e.bothFile: append(chain[:len(chain):len(chain)], key...)} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// clientTLS is the configuration of the bench's own clients.
func clientTLS(protos ...string) *tls.Config {
	return &tls.Config{
		ServerName: host, NextProtos: protos, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: true, // the bench measures; tests check chains
		CurvePreferences:   []tls.CurveID{tls.X25519},
	}
}

// poll tries until f succeeds, for at most 20 s.
func poll(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
