package certs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// How often a CA is asked when it wants a certificate to be renewed (RFC 9773
// section 4.3), whatever it says itself.
const (
	askSeldom = 24 * time.Hour
	askUsual  = 6 * time.Hour
	askOften  = time.Minute
)

// planAsking sets when the CA is asked for the first time about a certificate. The
// answers of earlier runs count; those that are overdue are spread, so that a start
// with many certificates is no burst.
func (k *keeper) planAsking() {
	now := time.Now()
	k.askAt = now.Add(rand.N(k.timing.check + 1))
	if ari := k.cert.meta.IssuerData.RenewalInfo; ari != nil && ari.RetryAfter != nil && ari.RetryAfter.After(k.askAt) {
		k.askAt = earlier(*ari.RetryAfter, now.Add(askSeldom))
	}
}

// askRenewalInfo asks the CA when it wants the certificate to be renewed, and plans
// by the answer.
func (k *keeper) askRenewalInfo(ctx context.Context) {
	getter, ok := k.cert.by.issuer(newLogger(k.log, newTry(k.entry.name)), k.entry.wishes).(certmagic.RenewalInfoGetter)
	if !ok {
		k.askAt = time.Now().Add(askSeldom)
		return
	}
	select {
	case k.asking <- struct{}{}:
		defer func() { <-k.asking }()
	case <-ctx.Done():
		return
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	info, err := getter.GetRenewalInfo(limited, certmagic.Certificate{Certificate: *k.cert.Certificate})
	now := time.Now()
	if err != nil {
		k.askAt = now.Add(askUsual)
		if errors.Is(err, acme.ErrUnsupported) {
			k.askAt = now.Add(askSeldom)
		}
		k.log.Debug("The CA does not say when to renew; its certificate's age decides.", "name", k.entry.name, "error", err)
		return
	}
	k.askAt = now.Add(askUsual)
	if info.RetryAfter != nil {
		k.askAt = now.Add(min(max(info.RetryAfter.Sub(now), askOften), askSeldom))
	}
	k.heed(ctx, info)
}

// heed plans by what the CA suggests.
func (k *keeper) heed(ctx context.Context, info acme.RenewalInfo) {
	old := k.cert.meta.IssuerData.RenewalInfo
	if old != nil && info.SameWindow(*old) && !old.SelectedTime.IsZero() {
		info.SelectedTime = old.SelectedTime // a time is chosen once for a window
	} else if old != nil {
		k.log.Info("The CA wants the certificate to be renewed at another time.", "name", k.entry.name,
			"from", info.SuggestedWindow.Start, "until", info.SuggestedWindow.End, "why", info.ExplanationURL)
	}
	k.cert.meta.IssuerData.RenewalInfo = &info
	if err := k.cert.saveMeta(ctx, k.storage, k.entry.name); err != nil {
		k.log.Warn("When the CA wants the certificate to be renewed cannot be stored.", "name", k.entry.name, "error", k.storage.explain(err))
	}
	k.renewAt = k.cert.due()
	k.entry.update(func(s *Status) { s.NextRenewal = k.renewAt })
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
