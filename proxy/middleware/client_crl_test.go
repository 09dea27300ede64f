package middleware

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"portway/label"
)

// signer is a CA that keeps lists.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certify makes a certificate, by itself if s is nil.
func (s *signer) certify(t *testing.T, name string, serial int64, ca bool) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), BasicConstraintsValid: true, IsCA: ca,
	}
	if ca {
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	parent, by := template, key
	if s != nil {
		parent, by = s.cert, s.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{cert, key}
}

func (s *signer) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw}))
}

// list makes a list, made some time ago, that holds for a day.
func (s *signer) list(t *testing.T, ago time.Duration, extension *pkix.Extension, revoked ...*signer) string {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-ago), NextUpdate: time.Now().Add(24*time.Hour - ago)}
	for _, r := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.cert.SerialNumber, RevocationTime: time.Now()})
	}
	if extension != nil {
		template.ExtraExtensions = []pkix.Extension{*extension}
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, s.cert, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func TestRevokedChains(t *testing.T) {
	t.Parallel()
	root := (*signer)(nil).certify(t, "root", 1, true)
	middle := root.certify(t, "middle", 2, true)
	jo, eve := middle.certify(t, "jo", 3, false), middle.certify(t, "eve", 4, false)
	other := (*signer)(nil).certify(t, "other", 1, true)
	same := root.certify(t, "same", 4, false) // the number that eve has at another CA
	part := func(name byte) *pkix.Extension {
		return &pkix.Extension{Id: distributionPoint, Critical: true, Value: []byte{0x30, 3, 0x84, 1, name}}
	}
	both := root.pem() + middle.pem()
	const hour, week = time.Hour, 7 * 24 * time.Hour
	for _, c := range []struct {
		what, lists string
		client      *signer
		want        string // part of the error
	}{
		{"nobody is revoked", middle.list(t, hour, nil), jo, ""},
		{"another one is", middle.list(t, hour, nil, eve), jo, ""},
		{"it is", middle.list(t, hour, nil, eve), eve, "has been revoked"},
		{"it is, on the second list", root.list(t, hour, nil) + middle.list(t, hour, nil, eve), eve, "has been revoked"},
		{"the same number by another CA is", middle.list(t, hour, nil, eve), same, ""},
		{"the CA between is", root.list(t, hour, nil, middle), jo, "has been revoked"},
		{"the list has ended", middle.list(t, week, nil), jo, `"CN=middle" has revoked ended`},
		{"the list has ended, and it was on it", middle.list(t, week, nil, eve), eve, "has been revoked"},
		{"the list above has ended", root.list(t, week, nil) + middle.list(t, hour, nil), jo, `"CN=root" has revoked ended`},
		{"a list that has nothing to do with it has ended", middle.list(t, week, nil), same, ""},
		{"a newer list has it not any more", middle.list(t, 2*hour, nil, eve) + middle.list(t, hour, nil), eve, ""},
		{"an older list does not have it yet", middle.list(t, hour, nil, eve) + middle.list(t, 2*hour, nil), eve, "has been revoked"},
		{"it is on one of two parts", middle.list(t, 2*hour, part(1), eve) + middle.list(t, hour, part(2)), eve, "has been revoked"},
	} {
		m := &ClientTLS{}
		values := label.Values{"tls.client-auth": "require", "tls.client-ca": both, "tls.client-crl": c.lists}
		if problems := label.Parse("test", func(o string) string { return o }, values, m); len(problems) > 0 {
			t.Errorf("%s: %v", c.what, problems)
			continue
		}
		_, err := newVisitors(m.CAs(), m.lists()).of([]*x509.Certificate{c.client.cert, middle.cert})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	delta := &pkix.Extension{Id: deltaIndicator, Critical: true, Value: []byte{2, 1, 1}}
	for what, c := range map[string]struct{ ca, lists, want string }{
		"by another CA":      {both, other.list(t, hour, nil), `"CN=other" is not signed by`},
		"only the root":      {root.pem(), middle.list(t, hour, nil), `"CN=middle" is not signed by`},
		"of the same name":   {both, (*signer)(nil).certify(t, "root", 1, true).list(t, hour, nil), `"CN=root" is not signed by`},
		"only what is new":   {both, middle.list(t, hour, delta), "what has changed"},
		"damaged":            {both, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "cannot be read"},
		"no list":            {both, root.pem(), "there is no list"},
		"one is not by them": {both, middle.list(t, hour, nil) + other.list(t, hour, nil), "not signed by"},
	} {
		values := label.Values{"tls.client-auth": "require", "tls.client-ca": c.ca, "tls.client-crl": c.lists}
		if problems := label.Parse("test", func(o string) string { return o }, values, &ClientTLS{}); len(problems) != 1 || !strings.Contains(problems[0].Why, c.want) {
			t.Errorf("%s: %v", what, problems)
		}
	}
}

// Who was let in by a list is looked at again when it ends.
func TestListEndsWhileRemembered(t *testing.T) {
	t.Parallel()
	root := (*signer)(nil).certify(t, "root", 1, true)
	jo := root.certify(t, "jo", 2, false)
	lists, err := parseCRLs(root.list(t, time.Hour, nil), []*x509.Certificate{root.cert})
	if err != nil {
		t.Fatal(err)
	}
	v := newVisitors([]*x509.Certificate{root.cert}, lists)
	known, err := v.of([]*x509.Certificate{jo.cert})
	if err != nil || !known.until.Equal(lists[0].until) {
		t.Fatalf("%v, %v", known, err)
	}
	past := *lists[0]
	past.until = time.Now().Add(-time.Second)
	known.until, v.lists = past.until, []*crl{&past} // as time would have it
	var over *listOverError
	if _, err := v.of([]*x509.Certificate{jo.cert}); !errors.As(err, &over) {
		t.Errorf("after the end of the list: %v", err)
	}
}

func TestListedProblems(t *testing.T) {
	t.Parallel()
	root := (*signer)(nil).certify(t, "root", 1, true)
	m := &ClientTLS{CA: root.pem(), CRL: root.list(t, 0, nil)}
	for after, want := range map[time.Duration]string{0: "", 21 * time.Hour: "", 22 * time.Hour: "ends on", 25 * time.Hour: "ended on"} {
		why, fix := m.Listed().Problem(time.Now().Add(after))
		if !strings.Contains(why, want) || (why == "") != (want == "") || (fix == "") != (want == "") {
			t.Errorf("after %v: %q; %q", after, why, fix)
		}
	}
	if why, _ := (&ClientTLS{CA: root.pem()}).Listed().Problem(time.Now()); why != "" {
		t.Error(why)
	}
}
