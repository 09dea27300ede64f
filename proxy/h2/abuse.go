package h2

import "time"

// What a frame costs that makes work and serves nobody, and what useful traffic
// earns. Clients that fetch things stay far below zero; floods do not.
const (
	costFrame    = 1 // ping, priority, window update, unknown type, reset of an old request
	costSettings = 5
	costEmpty    = 5 // DATA or a piece of a header block without content
	costRefused  = 1 // a request beyond MAX_CONCURRENT_STREAMS
	costReset    = 4 // reset of a request that has hardly begun, or that we had to reset

	earnRequest = 4 // a request answered to the end
	earnData    = 3 // a DATA frame sent: both windows may be updated, and a ping measure the time
	earnKiB     = 1 // and each KiB in it, since clients update windows in steps of their own

	// youngRequest is how old a request must be for its reset to be like any other: by
	// then, the limit of concurrent streams limits the rate.
	youngRequest = 100 * time.Millisecond
)

// abuse is an account of useless frames (CVE-2019-9511 and its kin, rapid resets
// of CVE-2023-44487, and resets provoked from us, CVE-2025-8671). The reader's own.
type abuse struct {
	level int
	seen  time.Time // until when time has been taken off
}

// charge books a cost; it returns the error to end the connection with if the
// client has gone too far.
func (c *conn) charge(cost int, what string) error {
	a := &c.abuse
	limit := c.limits.Abuse
	if a.level += cost; a.level <= limit {
		return nil
	}
	now := time.Now()
	forgiven := min(now.Sub(a.seen), time.Hour).Seconds() * float64(limit) / 10
	a.seen = now
	a.level = max(a.level-int(forgiven), 0)
	a.level -= int(min(c.earned.Swap(0), int64(100*limit)))
	a.level = max(a.level, -10*limit)
	if a.level <= limit {
		return nil
	}
	return &connError{codeEnhanceYourCalm, "too many " + what}
}
