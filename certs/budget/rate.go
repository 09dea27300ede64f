package budget

import "time"

// Rate allows Burst things at once, and then one more each time that a
// Burst-th part of Per has passed: the token bucket that CAs use. The zero
// Rate is no limit.
type Rate struct {
	Burst int
	Per   time.Duration
}

func (r Rate) none() bool { return r.Burst <= 0 || r.Per <= 0 }

// each is how long it takes until there is room for one more.
func (r Rate) each() time.Duration { return r.Per / time.Duration(r.Burst) }

// bucket is what was taken from a rate, as the time at which nothing of it will
// be left (the "theoretical arrival time" of the generic cell rate algorithm).
// The zero bucket is one that nothing was taken from.
type bucket struct{ time.Time }

// take takes n from the bucket, or tells when there will be room for n.
func (b bucket) take(r Rate, n int, now time.Time) (after bucket, until time.Time) {
	if r.none() || n <= 0 {
		return b, time.Time{}
	}
	n = min(n, r.Burst) // more would never fit
	full := b.Time
	if full.Before(now) {
		full = now
	}
	full = full.Add(time.Duration(n) * r.each())
	if fits := full.Add(-r.Per); fits.After(now) {
		return b, fits
	}
	return bucket{full}, time.Time{}
}

// charge takes n even if there is no room: what happened, happened.
func (b bucket) charge(r Rate, n int, now time.Time) bucket {
	if r.none() || n <= 0 {
		return b
	}
	if b.Before(now) {
		b.Time = now
	}
	full := b.Add(time.Duration(n) * r.each())
	if most := now.Add(r.Per); full.After(most) {
		full = most
	}
	return bucket{full}
}

// giveBack undoes take.
func (b bucket) giveBack(r Rate, n int) bucket {
	if r.none() || n <= 0 || b.IsZero() {
		return b
	}
	return bucket{b.Add(-time.Duration(min(n, r.Burst)) * r.each())}
}

// left tells how many there is room for.
func (b bucket) left(r Rate, now time.Time) int {
	if r.none() {
		return -1
	}
	taken := max(b.Sub(now), 0)
	return max(r.Burst-int((taken+r.each()-1)/r.each()), 0)
}

// sane bounds what a file may say, so that a clock that went wrong, or a limit
// that was longer once, does not stop us for years.
func (b bucket) sane(r Rate, now time.Time) bucket {
	if most := now.Add(r.Per); !r.none() && b.After(most) {
		return bucket{most}
	}
	return b
}
