package health

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"portway/internal/redact"
	"portway/label"
)

// Kind is how a replica is asked.
type Kind string

// The kinds of checks.
const (
	None Kind = ""
	HTTP Kind = "http" // GET of a path
	TCP  Kind = "tcp"  // a connection, nothing more
	GRPC Kind = "grpc" // grpc.health.v1.Health/Check
)

// Options is what labels say about the active health checks of a route. Equal
// Options check alike: they can be compared by ==.
type Options struct {
	kind     Kind
	path     string // with its query
	status   statuses
	host     string
	port     int // 0: that of the replica
	service  string
	interval time.Duration
	timeout  time.Duration
	up, down int
}

var _ label.Binder = (*Options)(nil)

// shortest bounds intervals and timeouts: what is less is a slip, or an attack on
// the application.
const shortest = 100 * time.Millisecond

// Labels binds health and its details.
func (o *Options) Labels(s *label.Set) {
	label.Enum(s, &o.kind, "health", None, []Kind{HTTP, TCP, GRPC},
		"Ask each replica regularly whether it works: by a GET request (see `health.path`), by connecting, or by the gRPC health protocol. Only replicas that pass get requests.",
		label.Example("grpc"))

	o.path = "/"
	s.Func("health.path", "path",
		"Ask by a GET request for this path, perhaps with a query. Given alone, it switches `health` on.",
		o.setPath, label.Default("/"), label.Example("/healthz"), label.Shown(redact.URL))
	s.Check("health.path", o.only(HTTP))

	needs := label.Needs("health", "health.path")
	for code := 200; code < 400; code++ {
		o.status.add(code)
	}
	s.Func("health.status", "list", "Status codes, or ranges of them, that mean the replica works.",
		o.setStatus, label.Default("200-399"), label.Example("200, 204"), needs)
	s.Check("health.status", o.only(HTTP))
	s.Func("health.host", "host", "What the check sends as Host. The default is the first host of the route.",
		o.setHost, label.Example("app.internal"), needs)
	s.Check("health.host", o.only(HTTP, GRPC))
	s.Int(&o.port, "health.port", 0, "Port to ask at, where it is not the application's own.",
		label.Range(1, 65535), label.Example("9000"), needs)
	s.String(&o.service, "health.service", "", "Service to ask about by the gRPC health protocol. The default is the server as a whole.",
		label.Example("shop.v1.Orders"), needs)
	s.Check("health.service", o.only(GRPC))

	s.Duration(&o.interval, "health.interval", 10*time.Second,
		"Time between two checks of a replica, give or take a tenth. A new replica is asked at once, and then every second until it passes.",
		label.Example("5s"), needs)
	s.Check("health.interval", atLeast(&o.interval))
	s.Duration(&o.timeout, "health.timeout", 5*time.Second, "How long a check may take.", label.Example("1s"), needs)
	s.Check("health.timeout", atLeast(&o.timeout))
	s.Int(&o.up, "health.up", 2, "Checks in a row that a replica which failed must pass to get requests again. A new one needs one.",
		label.Range(1, 100), label.Example("1"), needs)
	s.Int(&o.down, "health.down", 3, "Checks in a row that a replica must fail to get no more requests.",
		label.Range(1, 100), label.Example("1"), needs)
}

// Enabled tells whether anything is to be checked.
func (o *Options) Enabled() bool { return o.kind != None }

// WithHost gives options that send host as Host, where that matters and the user
// has not said what to send.
func (o Options) WithHost(host string) Options {
	if o.host == "" && o.kind != TCP {
		o.host = host
	}
	return o
}

// only makes the check that an option is for some kinds only.
func (o *Options) only(kinds ...Kind) func() error {
	return func() error {
		for _, k := range kinds {
			if o.kind == k {
				return nil
			}
		}
		return &label.Error{
			Why: fmt.Sprintf("is not for checks by %s", o.kind),
			Fix: fmt.Sprintf("remove it, or set health: %s", kinds[0]), Safe: true,
		}
	}
}

func atLeast(d *time.Duration) func() error {
	return func() error {
		if *d < shortest {
			return &label.Error{Why: "is too short", Fix: "write at least " + shortest.String(), Safe: true}
		}
		return nil
	}
}

func (o *Options) setPath(value string) error {
	if value[0] != '/' {
		return &label.Error{Why: label.Quote(redact.URL(value)) + " does not begin with /", Fix: "write a path like /healthz"}
	}
	for _, c := range []byte(value) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return &label.Error{Why: label.Quote(redact.URL(value)) + " is no path as browsers send it", Fix: "write spaces, # and other scripts with percent-encoding, for example %20"}
		}
	}
	o.path = value
	if o.kind == None {
		o.kind = HTTP
	}
	return nil
}

func (o *Options) setHost(value string) error {
	for _, c := range []byte(value) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"\/@?#<>,;`, c) >= 0 {
			return &label.Error{Why: label.Quote(value) + " is no host name", Fix: "write a name alone, perhaps with a port: app.internal or app.internal:8080"}
		}
	}
	o.host = value
	return nil
}

func (o *Options) setStatus(value string) error {
	o.status = statuses{}
	for item := range strings.SplitSeq(value, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(item), "-")
		if !ranged {
			to = from
		}
		low, err1 := strconv.Atoi(strings.TrimSpace(from))
		high, err2 := strconv.Atoi(strings.TrimSpace(to))
		if err1 != nil || err2 != nil || low < 200 || high > 599 || low > high {
			return &label.Error{Why: label.Quote(item) + " is no range of status codes", Fix: "write codes from 200 to 599, for example 200-299, 401"}
		}
		for code := low; code <= high; code++ {
			o.status.add(code)
		}
	}
	return nil
}

// statuses is a set of status codes below 600.
type statuses [10]uint64

func (s *statuses) add(code int) { s[code/64] |= 1 << (code % 64) }

func (s *statuses) has(code int) bool {
	return code >= 0 && code < 64*len(s) && s[code/64]&(1<<(code%64)) != 0
}

// String gives the set as a user would write it: "200-299, 401".
func (s statuses) String() string {
	var parts []string
	for code := 0; code < 64*len(s); code++ {
		if !s.has(code) {
			continue
		}
		first := code
		for s.has(code + 1) {
			code++
		}
		if first == code {
			parts = append(parts, strconv.Itoa(first))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", first, code))
		}
	}
	return strings.Join(parts, ", ")
}
