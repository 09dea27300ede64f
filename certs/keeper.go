package certs

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/caddyserver/certmagic"
)

// keeper looks after the certificate of one public name, in one goroutine.
type keeper struct {
	*Manager
	*authority
	entry *entry

	cert   certmagic.Certificate // the one that is served; empty if there is none
	record record                // of failures; zero if there are none
	next   time.Time             // when to look again
}

func (k *keeper) run(ctx context.Context) {
	k.load(ctx)
	close(k.entry.loaded)
	for sleepUntil(ctx, k.next) {
		k.step(ctx)
	}
}

// load takes from the storage what an earlier run left.
func (k *keeper) load(ctx context.Context) {
	name, now := k.entry.name, time.Now()
	k.next = now
	cert, err := k.cacheStored(ctx)
	switch {
	case err == nil:
		k.serve(cert)
	case !errors.Is(err, fs.ErrNotExist):
		k.discard(ctx, err)
	}
	record, err := k.ledger.load(ctx, name)
	if err != nil {
		k.log.Warn("What is known about earlier failures cannot be read; starting afresh.", "name", name, "error", err)
	}
	if record.Attempts == 0 {
		return
	}
	if !k.cert.Empty() && !k.cert.NeedsRenewal(k.magic) { // the last try succeeded after all
		k.forget(ctx)
		return
	}
	k.record = record
	if wait := record.NextTry.Sub(now); wait > 0 {
		k.next = now.Add(min(wait, longestWait)) // a clock that went wrong must not stop us for years
		k.report()
		k.log.Info("Waiting after failures before the next try for a certificate.", "name", name,
			"attempts", record.Attempts, "last_error", record.Error, "next_try", k.next.Round(time.Second))
	}
}

// discard makes room for a new certificate if the stored one is damaged, as a
// crash between its files may leave it. A file that merely cannot be read stays.
func (k *keeper) discard(ctx context.Context, why error) {
	var unreadable *fs.PathError
	if errors.As(why, &unreadable) {
		return // the try that follows ends with the same error and reports it
	}
	k.log.Warn("The stored certificate is damaged; getting a new one.", "name", k.entry.name, "error", why)
	if err := k.storage.Delete(ctx, certmagic.StorageKeys.SiteMeta(k.ledger.issuer, k.entry.name)); err != nil {
		k.log.Error("The damaged certificate cannot be removed.", "name", k.entry.name, "error", err)
	}
}

// step looks whether something is to be done, and does it.
func (k *keeper) step(ctx context.Context) {
	if !k.cert.Empty() && !k.cert.NeedsRenewal(k.magic) {
		k.next = time.Now().Add(k.timing.check + rand.N(k.timing.check/10+1))
		return
	}
	slots := k.fresh
	if k.record.Attempts > 0 {
		slots = k.again
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
		k.try(ctx)
	case <-ctx.Done():
	}
}

// try makes one attempt to obtain or renew the certificate.
func (k *keeper) try(ctx context.Context) {
	start := time.Now()
	t := newTry(k.entry.name)
	failures := k.record.Attempts
	k.record.Name = k.entry.name
	k.record = k.record.begun(start, k.timing.backoff)
	// Without the ledger, and so without the storage, an order would be in vain.
	err := k.ledger.save(withTry(ctx, t), k.record)
	if err == nil {
		err = k.authority.run(ctx, t, newLogger(k.log, t), k.timing.try, failures, !k.cert.Empty())
	}
	var cert certmagic.Certificate
	if err == nil {
		cert, err = k.cacheStored(ctx)
	}
	switch {
	case ctx.Err() != nil: // the name is gone, or Portway ends; the record tells
	case err != nil:
		k.failed(ctx, t, err)
	default:
		k.obtained(ctx, cert, time.Since(start))
	}
}

// cacheStored brings the stored certificate into the cache, in place of the
// one that was served so far.
func (k *keeper) cacheStored(ctx context.Context) (certmagic.Certificate, error) {
	cert, err := k.magic.CacheManagedCertificate(ctx, k.entry.name)
	if err != nil {
		return cert, err
	}
	if old := k.cert.Hash(); old != "" && old != cert.Hash() {
		k.cache.Remove([]string{old})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.names.Load().get(k.entry.name) == nil { // it vanished meanwhile
		k.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: k.entry.name}})
	}
	return cert, nil
}

func (k *keeper) serve(cert certmagic.Certificate) {
	k.cert = cert
	k.entry.update(func(s *Status) {
		*s = Status{Name: s.Name, Issuer: s.Issuer, State: Valid, NotAfter: cert.Leaf.NotAfter}
	})
}

func (k *keeper) obtained(ctx context.Context, cert certmagic.Certificate, took time.Duration) {
	what := "Obtained a certificate."
	if !k.cert.Empty() {
		what = "Renewed a certificate."
	}
	if k.cert.Hash() != cert.Hash() {
		k.log.Info(what, "name", k.entry.name, "issuer", k.host,
			"took", took.Round(time.Millisecond), "expires", cert.Leaf.NotAfter)
	}
	k.forget(ctx)
	k.serve(cert)
	// However short the CA makes certificates, it is not asked all the time.
	k.next = time.Now().Add(min(k.timing.check, k.timing.backoff.base))
}

// forget clears the failures of the name.
func (k *keeper) forget(ctx context.Context) {
	k.record = record{}
	if err := k.ledger.clear(ctx, k.entry.name); err != nil {
		k.log.Warn("The record of earlier failures cannot be removed.", "name", k.entry.name, "error", err)
	}
}

func (k *keeper) failed(ctx context.Context, t *try, err error) {
	f := t.explain(err, k.storage, k.directory)
	k.record = k.record.failed(time.Now(), k.timing.backoff, f.wait, f.reason)
	k.next = k.record.NextTry
	attrs := []any{
		"name", k.entry.name, "issuer", k.host, "error", f.reason,
		"attempts", k.record.Attempts, "next_try", k.next.Round(time.Second),
	}
	what := "A certificate could not be obtained."
	if !k.cert.Empty() {
		what = "A certificate could not be renewed; the old one is still served."
		attrs = append(attrs, "expires", k.cert.Leaf.NotAfter)
	}
	k.log.Error(what, attrs...)
	err = k.ledger.save(ctx, k.record)
	if err != nil && t.storageErr == nil { // else it is told above
		k.log.Error("The failure cannot be recorded, so that a restart would forget it.", "name", k.entry.name, "error", k.storage.explain(err))
	}
	k.report()
}

// report brings the record into the status.
func (k *keeper) report() {
	k.entry.update(func(s *Status) {
		s.LastError, s.NextTry, s.Attempts = k.record.Error, k.next, k.record.Attempts
		if k.cert.Empty() {
			s.State = Failed
		}
	})
}
