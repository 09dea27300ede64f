package certs

import (
	"crypto/tls"
	"time"

	"portway/certs/files"
)

// issuerOwn is the issuer of certificates that the user has put into the folder.
const issuerOwn = "own"

// own returns the user's certificate for host; nil: there is none, or the host's route
// wishes for an issuer.
func (m *Manager) own(host string, wishes Wishes) *files.Certificate {
	if m.files == nil || wishes.Issuer != "" {
		return nil
	}
	if found := m.files.Find(host); len(found) > 0 {
		return found[0]
	}
	return nil
}

// ownMatch is own for a handshake.
func (m *Manager) ownMatch(e *entry, host string, hello *tls.ClientHelloInfo) *tls.Certificate {
	if m.files == nil || e.wishes.Issuer != "" {
		return nil
	}
	return m.files.Match(host, hello)
}

// filesChanged gives names to the user's files, or takes them back.
func (m *Manager) filesChanged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
}

// status tells about host, which e covers.
func (m *Manager) status(e *entry, host string) Status {
	if c := m.own(host, e.wishes); c != nil { // perhaps below a wildcard that has another one
		return ownStatus(host, c)
	}
	return e.current()
}

func ownStatus(name string, c *files.Certificate) Status {
	s := Status{
		Name: name, State: Valid, Issuer: issuerOwn, NotBefore: c.TLS.Leaf.NotBefore, NotAfter: c.TLS.Leaf.NotAfter,
		Serial: c.Serial, Fingerprint: c.Fingerprint, KeyType: c.KeyType,
	}
	if time.Now().After(s.NotAfter) {
		s.State = Failed
	}
	switch {
	case c.Broken != "":
		s.LastError = "The file " + c.Path + " has been changed and cannot be used: " + c.Broken + ". The certificate that it held before is still served."
	case c.EndsSoon():
		s.LastError = "The certificate ends on " + s.NotAfter.Format(time.DateOnly) + ": replace " + c.Path + "; Portway notices by itself."
	}
	return s
}

// OwnProblems tells which of the user's files cannot be used.
func (m *Manager) OwnProblems() []files.Problem {
	if m.files == nil {
		return nil
	}
	return m.files.Problems()
}
