package balance

import (
	"strconv"
	"strings"
	"time"

	"portway/label"
	"portway/proxy/queue"
)

// Algorithm is a way to choose a replica.
type Algorithm string

// The algorithms.
const (
	RoundRobin Algorithm = "round-robin" // one after the other
	LeastConn  Algorithm = "least-conn"  // the one with the fewest requests in flight
	P2C        Algorithm = "p2c"         // the better one of two, by latency and requests in flight
	Hash       Algorithm = "hash"        // by what identifies the client
)

// Options is what labels and static files can say about how the requests of a
// route are shared among its replicas.
type Options struct {
	Algorithm Algorithm
	Key       Key // what Hash goes by
	Sticky    Sticky
	SlowStart time.Duration // a new replica gets its full share after; 0: at once
	Eject     Eject
	Retry     Retry
	Breaker   BreakerRules
	Timeouts  Timeouts
	Limit     int          // requests in flight with one replica; 0: any number
	Queue     queue.Bounds // of those that wait since all replicas have as many
}

// Timeouts are how long a replica may take; 0: as long as it likes.
type Timeouts struct {
	Dial      time.Duration // to take a connection, TLS included; not 0
	FirstByte time.Duration // from the request sent to the head of the answer
	Idle      time.Duration // silence in the middle of a body
}

// Eject says when a replica that fails is left out.
type Eject struct {
	After int           // failures in a row; 0: never
	For   time.Duration // the first time; twice as long each time it fails again
	Keep  int           // percent of the replicas that stay whatever they do
}

// Retry says when a request is given to another replica.
type Retry struct {
	Times  int // after the first; RetryOthers: each of the others once
	Budget int // percent of the requests; 0: no bound
	For    time.Duration
}

// RetryOthers as Retry.Times stands for as many times as there are other replicas.
const RetryOthers = -1

// Defaults are the options of a route that gives none.
func Defaults() Options {
	var o Options
	label.Describe(&o)
	return o
}

var _ label.Binder = (*Options)(nil)

// Labels binds the options of balancing.
func (o *Options) Labels(s *label.Set) {
	label.Enum(s, &o.Algorithm, "balance", RoundRobin, []Algorithm{RoundRobin, LeastConn, P2C, Hash},
		"Which replica gets a request: the next one, the one with the fewest requests in flight, the better of two by latency and load (power of two choices), or always the same one for the same `balance.key` (consistent hash: when a replica goes, only its clients move).",
		label.Example("p2c"))
	o.Key = Key{}
	s.Func("balance.key", "key", "What `hash` goes by: `client` (address), `header:Name` or `cookie:name`. Requests without it go by address.",
		o.Key.parse, label.Default("client"), label.Needs("balance"), label.Example("header:X-Tenant"))
	s.Check("balance.key", func() error {
		if o.Algorithm != Hash {
			return &label.Error{Why: "is only for the balance hash", Fix: "remove it, or balance by hash"}
		}
		return nil
	})

	s.Bool(&o.Sticky.On, "sticky", false,
		"Let visitors stay with the replica that answered first, by a cookie. One whose replica is gone or ill gets another.", label.Example("true"))
	o.Sticky.Cookie = ""
	s.Func("sticky.cookie", "text", "Name of that cookie. Without it, the name is `portway-` and a number that differs from route to route.",
		func(value string) error {
			o.Sticky.Cookie = value
			return validCookieName(value)
		}, label.Needs("sticky"), label.Example("replica"))
	s.Duration(&o.Sticky.MaxAge, "sticky.max-age", 0, "How long the cookie is kept. 0 means until the browser is closed.",
		label.Needs("sticky"), label.Example("7d"))
	s.String(&o.Sticky.Secret, "sticky.secret", "",
		"A key for the cookie's values, the same on all nodes. Without it they are hashes of the replicas' identities, from which an address could be guessed.",
		label.Needs("sticky"), label.Secret(), label.Example("file:/run/secrets/sticky"))

	s.Duration(&o.SlowStart, "slow-start", 0, "Time in which the share of a replica grows that has started or recovered, while others are there. 0 means its full share at once.", label.Example("30s"))

	s.Int(&o.Eject.After, "eject", 0,
		"Leave a replica out after so many failures in a row: no connection, a broken or late answer, or 502, 503 or 504. 0 means never; one that takes no connections is left out in any case.",
		label.Example("5"))
	s.Duration(&o.Eject.For, "eject.for", 10*time.Second,
		"How long. Then one request tries it; each failure doubles the time, up to 5 minutes.", label.Needs("eject"), label.Example("30s"))
	s.Check("eject.for", func() error { return atLeast(o.Eject.For, time.Millisecond) })
	o.percent(s, &o.Eject.Keep, "eject.keep", 50, "Share of the replicas that is never ejected, so that the rest is not overrun.", label.Needs("eject"), label.Example("80%"))

	o.Retry.Times = RetryOthers
	s.Func("retry", "number",
		"How often a request that a replica failed to answer is given to another, or after all others to the same again. Only where nothing was sent, or for safe repetition (GET, HEAD, OPTIONS, TRACE, PUT, DELETE without a body). Without it, each other replica gets it once; 0 means never.",
		func(value string) error {
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > 100 {
				return &label.Error{Why: label.Quote(value) + " is no number of retries", Fix: "write a whole number from 0 to 100"}
			}
			o.Retry.Times = n
			return nil
		}, label.Example("2"))
	o.percent(s, &o.Retry.Budget, "retry.budget", 0,
		"Most retries, as a share of the route's requests in the last 10 seconds, so that retries do not overrun what is left of it; 5 are free. Without it, there is no bound.",
		label.Example("20%"))
	s.Duration(&o.Retry.For, "retry.for", 10*time.Second, "No retry begins later than this after the request came.", label.Example("5s"))
	o.breaker(s)
	o.timeouts(s)

	s.Int(&o.Limit, "replica.max-in-flight", 0,
		"Most requests of this route at the same time with one replica. Others go to another replica, or wait. 0 means no limit.", label.Example("20"))
	s.Int(&o.Queue.Length, "replica.max-in-flight.queue", 100,
		"How many requests wait while all replicas have as many; who came first gets the next place. More get 503.", label.Needs("replica.max-in-flight"), label.Example("500"))
	s.Duration(&o.Queue.Patience, "replica.max-in-flight.wait", 10*time.Second,
		"How long they wait. Then they get 503.", label.Needs("replica.max-in-flight"), label.Example("30s"))
}

func (o *Options) breaker(s *label.Set) {
	b := &o.Breaker
	o.percent(s, &b.Percent, "breaker", 0,
		"Circuit breaker: when this share of the requests fails (no answer, or 502, 503 or 504), visitors get 503 at once for a while, and the application a rest. Then single requests try it; 3 good ones in a row end that.",
		label.Example("50%"))
	s.Duration(&b.Window, "breaker.window", 10*time.Second, "The time whose requests count.", label.Needs("breaker"), label.Example("1m"))
	s.Check("breaker.window", func() error { return atLeast(b.Window, slots*time.Millisecond) })
	s.Int(&b.Requests, "breaker.requests", 20, "Fewer requests in that time do not open it.", label.Needs("breaker"), label.Range(1, 1000000), label.Example("100"))
	s.Duration(&b.For, "breaker.for", 10*time.Second, "How long it stays open.", label.Needs("breaker"), label.Example("30s"))
	s.Check("breaker.for", func() error { return atLeast(b.For, time.Millisecond) })
}

func (o *Options) timeouts(s *label.Set) {
	t := &o.Timeouts
	s.Duration(&t.Dial, "timeout.dial", 5*time.Second, "How long a replica may take to accept a connection, TLS included.", label.Example("1s"))
	s.Check("timeout.dial", func() error { return atLeast(t.Dial, time.Millisecond) })
	s.Duration(&t.FirstByte, "timeout.first-byte", time.Minute,
		"How long it may take to begin its answer when it has the whole request; then visitors get 504. 0 means as long as it likes. This and the next one are kept to within half a second.", label.Example("5m"))
	s.Duration(&t.Idle, "timeout.idle", 15*time.Minute,
		"How long it may be silent in the middle of an answer, or take nothing of a request. 0 means as long as it likes.", label.Example("1h"))
}

// percent binds a share of the whole, from 1% to 100%.
func (*Options) percent(s *label.Set, p *int, name string, def int, doc string, attrs ...label.Attr) {
	*p = def
	shown := strconv.Itoa(def) + "%"
	if def == 0 {
		shown = ""
	}
	s.Func(name, "percentage", doc, func(value string) error {
		n, ok := strings.CutSuffix(value, "%")
		share, err := strconv.Atoi(strings.TrimSpace(n))
		if !ok || err != nil || share < 1 || share > 100 {
			return &label.Error{Why: label.Quote(value) + " is no percentage", Fix: "write a whole number of percent from 1% to 100%"}
		}
		*p = share
		return nil
	}, append(attrs, label.Default(shown))...)
}

// atLeast refuses a time that would make its option useless.
func atLeast(d, least time.Duration) error {
	if d < least {
		return &label.Error{Why: "is too short", Fix: "write at least " + least.String()}
	}
	return nil
}
