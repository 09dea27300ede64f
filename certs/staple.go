package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/crypto/ocsp"
)

// How long a responder may take, and how often it is asked after failures. What it
// says is asked for again when half of its time is over.
const (
	stapleTimeout = 10 * time.Second
	staplePause   = 10 * time.Minute
)

// stapler fetches what the CA's responder says about one certificate, so that
// clients need not ask it (RFC 6066 section 8). It has a goroutine of its own, since
// no handshake and no start may wait for a responder.
type stapler struct {
	*Manager
	entry        *entry
	leaf, issuer *x509.Certificate
}

// staple starts a stapler for the certificate that is served, if it names a
// responder, in place of the one before.
func (k *keeper) staple(ctx context.Context) {
	if k.unstaple != nil {
		k.unstaple()
		k.unstaple = nil
	}
	if len(k.cert.Leaf.OCSPServer) == 0 || len(k.cert.Certificate.Certificate) < 2 {
		return
	}
	issuer, err := x509.ParseCertificate(k.cert.Certificate.Certificate[1])
	if err != nil {
		return
	}
	ctx, k.unstaple = context.WithCancel(ctx)
	s := &stapler{k.Manager, k.entry, k.cert.Leaf, issuer}
	k.workers.Go(func() { s.run(ctx) })
}

func (s *stapler) run(ctx context.Context) {
	start := time.Now()
	data, err := s.storage.Load(ctx, s.file())
	var known *ocsp.Response
	if err == nil {
		known, err = s.parse(data)
	}
	if err == nil {
		s.attach(data)
	}
	for {
		now := time.Now()
		next := now.Add(staplePause)
		if known == nil || !now.Before(halfway(known)) {
			data, fresh, err := s.fetch(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				s.log.Debug("The CA's OCSP responder says nothing.", "name", s.entry.name, "error", err)
			case fresh.Status == ocsp.Revoked:
				s.log.Warn("The CA has revoked the certificate; getting a new one.", "name", s.entry.name, "at", fresh.RevokedAt)
				s.attach(nil)
				// However often a CA says so, it is not asked all the time.
				if sleepUntil(ctx, start.Add(s.timing.check)) {
					s.entry.renew()
				}
				return
			default:
				known = fresh
				s.attach(data)
				if err := s.storage.Store(ctx, s.file(), data); err != nil {
					s.log.Warn("What the CA's OCSP responder said cannot be stored.", "name", s.entry.name, "error", s.storage.explain(err))
				}
			}
		}
		if known != nil {
			if now.After(known.NextUpdate) {
				known = nil
				s.attach(nil) // an old one is worse than none
			} else if at := halfway(known); at.After(now) {
				next = at
			}
		}
		if !sleepUntil(ctx, next) {
			return
		}
	}
}

func (s *stapler) file() string {
	return path.Join("ocsp", certmagic.StorageKeys.Safe(s.entry.name))
}

// attach makes handshakes carry what the responder said; nil: nothing. It does
// nothing if another certificate is served by now.
func (s *stapler) attach(response []byte) {
	old := s.entry.cert.Load()
	if old == nil || !old.Leaf.Equal(s.leaf) {
		return
	}
	with := *old
	with.OCSPStaple = response
	s.entry.cert.CompareAndSwap(old, &with)
}

// parse checks what a responder said about the certificate.
func (s *stapler) parse(data []byte) (*ocsp.Response, error) {
	r, err := ocsp.ParseResponseForCert(data, s.leaf, s.issuer)
	switch {
	case err != nil:
		return nil, err
	case r.Status == ocsp.Unknown:
		return nil, errors.New("it does not know the certificate")
	case !time.Now().Before(r.NextUpdate):
		return nil, fmt.Errorf("its answer was good until %v", r.NextUpdate)
	case r.Certificate != nil && !r.Certificate.Equal(s.issuer) && !slices.Contains(r.Certificate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return nil, errors.New("its answer is signed by a certificate that is not for that (RFC 6960 section 4.2.2.2)")
	}
	return r, nil
}

// fetch asks the responder.
func (s *stapler) fetch(ctx context.Context) ([]byte, *ocsp.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, stapleTimeout)
	defer cancel()
	request, err := ocsp.CreateRequest(s.leaf, s.issuer, nil)
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.leaf.OCSPServer[0], bytes.NewReader(request))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return nil, nil, err
	}
	response, err := s.parse(data)
	return data, response, err
}

// halfway is when half of the time of an answer is over.
func halfway(r *ocsp.Response) time.Time {
	return r.ThisUpdate.Add(r.NextUpdate.Sub(r.ThisUpdate) / 2)
}

// sleepUntil tells whether it slept to the end.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// stapled keeps what is stapled to old if now is the same certificate.
func stapled(now, old *tls.Certificate) {
	if old != nil && old.Leaf.Equal(now.Leaf) {
		now.OCSPStaple = old.OCSPStaple
	}
}
