package admin

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"portway/label"
	"portway/route"
)

// Limits of looks at ports.
const (
	probeTimeout = time.Second
	probeMany    = 8 // at a time
	probeAgain   = time.Minute
	probeSuspect = 5 * time.Second // at least between two looks at what requests fail at
	probeWarn    = 3               // looks in a row that failed before the log says so: it may still be starting
)

// usualPorts are where applications often listen, to find what listens instead.
var usualPorts = []int{80, 3000, 4000, 5000, 5173, 8000, 8080, 8081, 8443, 8888, 9000, 443}

// prober looks whether the ports of upstreams answer, beside all requests.
type prober struct {
	logger *slog.Logger
	dialer net.Dialer

	mu       sync.Mutex
	results  map[probeKey]*probed
	suspects map[string]time.Time // when requests failed, by the route's ID
	running  bool
	done     sync.WaitGroup
}

// probeKey identifies what is looked at. A replica that moved is another one.
type probeKey struct {
	id, network, address string
	scheme               route.Scheme
}

// probed is what is known of one port.
type probed struct {
	Probe
	failed  int  // in a row
	doubted bool // TLS was tried too
	again   time.Time
	warned  bool
}

// target is a port to look at.
type target struct {
	probeKey
	name, source string
	routes       []string
	portKey      string // what to write to have another port
	schemeKey    string // the same for the scheme
	exposed      []int
	container    bool // other ports may be tried
}

func keyOf(u route.Upstream) probeKey { return probeKey{u.ID, u.Network, u.Address, u.Scheme} }

// result is nil if nothing is known yet.
func (p *prober) result(u route.Upstream) *Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.results[keyOf(u)]; r != nil && !r.Time.IsZero() {
		probe := r.Probe
		return &probe
	}
	return nil
}

// suspect has the upstreams of a route looked at again, unless that was just asked for;
// news tells whether it was not.
func (p *prober) suspect(routeID string) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.suspects == nil {
		p.suspects = make(map[string]time.Time)
	}
	now := time.Now()
	if now.Sub(p.suspects[routeID]) < probeSuspect {
		return false
	}
	p.suspects[routeID] = now
	return true
}

// look begins to look at those of all targets that are due, unless it is still at it.
// It returns at once.
func (p *prober) look(ctx context.Context, targets []target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return
	}
	now := time.Now()
	results := make(map[probeKey]*probed, len(targets))
	var due []target
	var doubted []bool
	for _, t := range targets {
		r := cmp.Or(p.results[t.probeKey], results[t.probeKey])
		if r == nil {
			r = &probed{}
		}
		suspected := slices.ContainsFunc(t.routes, func(id string) bool { return p.suspects[id].After(r.Time) })
		if suspected || r.Time.IsZero() || !r.Answers && !now.Before(r.again) {
			r.doubted = r.doubted || suspected
			due, doubted = append(due, t), append(doubted, r.doubted)
		}
		results[t.probeKey] = r
	}
	p.results = results
	maps.DeleteFunc(p.suspects, func(_ string, at time.Time) bool { return now.Sub(at) > probeAgain })
	if len(due) == 0 {
		return
	}
	p.running = true
	p.done.Go(func() {
		places := make(chan struct{}, probeMany)
		var all sync.WaitGroup
		for i, t := range due {
			places <- struct{}{}
			all.Go(func() {
				p.settle(t, p.probe(ctx, t, doubted[i]))
				<-places
			})
		}
		all.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.running = false
	})
}

// settle takes in what a look has shown, and has the log say what people should know.
func (p *prober) settle(t target, found Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.results[t.probeKey]
	if r == nil {
		return
	}
	r.Probe = found
	if found.Answers {
		if r.warned {
			p.logger.Info("a replica's port answers now", "upstream", t.name, "address", t.address)
		}
		r.failed, r.warned = 0, false
	} else {
		r.failed++
		r.again = found.Time.Add(min(time.Second<<min(r.failed-1, 10), probeAgain))
	}
	if !r.warned && r.failed >= probeWarn {
		r.warned = true
		p.logger.Warn("a replica cannot be spoken to", "source", t.source, "upstream", t.name, "address", t.address, "why", found.Error, "fix", found.Hint)
	}
}

// probe looks at one port. doubt says that requests fail at it.
func (p *prober) probe(ctx context.Context, t target, doubt bool) Probe {
	found := Probe{Time: time.Now()}
	conn, err := p.dial(ctx, t.network, t.address)
	switch {
	case err == nil:
		defer func() { _ = conn.Close() }()
		found.Error, found.Hint = t.wrongScheme(conn, doubt)
		found.Answers = found.Error == ""
		return found
	case errors.Is(err, syscall.ECONNREFUSED):
		found.Error = "nothing listens at " + t.address
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		found.Error = fmt.Sprintf("nothing answers at %s within %v", t.address, probeTimeout)
		found.Hint = "see whether a firewall is between Portway and it"
		return found
	default:
		found.Error = err.Error()
		return found
	}
	host, port, err := net.SplitHostPort(t.address)
	if err != nil || !t.container {
		found.Hint = "start the application, or correct its address"
		return found
	}
	for _, other := range append(slices.Clone(t.exposed), usualPorts...) {
		text := strconv.Itoa(other)
		if text == port || slices.Contains(found.Instead, other) {
			continue
		}
		if conn, err := p.dial(ctx, "tcp", net.JoinHostPort(host, text)); err == nil {
			_ = conn.Close()
			found.Instead = append(found.Instead, other)
		}
	}
	if len(found.Instead) > 0 {
		found.Hint = fmt.Sprintf("set %s: %d, where something listens", t.portKey, found.Instead[0])
	} else {
		found.Hint = "see whether the application has started, listens on all addresses and not only on its container's 127.0.0.1, and set " + t.portKey + " to its port"
	}
	return found
}

func (p *prober) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return p.dialer.DialContext(ctx, network, address)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// wrongScheme says what is wrong with the scheme, as far as that can be told without
// asking the application anything. Where plain HTTP is to be spoken, TLS is only tried
// if there is a reason, since the application may complain about it in its log.
func (t *target) wrongScheme(conn net.Conn, doubt bool) (why, fix string) {
	host, port, _ := net.SplitHostPort(t.address)
	secure := t.scheme == route.HTTPS
	if !secure && !doubt && port != "443" && port != "8443" {
		return "", ""
	}
	_ = conn.SetDeadline(time.Now().Add(probeTimeout))
	c := tls.Client(conn, &tls.Config{ServerName: host, InsecureSkipVerify: true}) // only whether it speaks TLS is asked
	err := c.Handshake()
	switch {
	case err == nil && !secure:
		return "it speaks TLS, and is spoken to without", "set " + t.schemeKey + ": https"
	case err != nil && secure && !isTimeout(err):
		return "it does not speak TLS: " + err.Error(), "set " + t.schemeKey + ": http"
	case err == nil && t.network == "tcp" && !private(host):
		if err := verify(host, c.ConnectionState().PeerCertificates); err != nil {
			return "its certificate is not accepted: " + err.Error(), "write its address instead of its name, if that is a private one: no certificate has to be trusted there"
		}
	}
	return "", ""
}

// verify holds a certificate against a name and the roots that are trusted here, as the
// proxy does.
func verify(host string, chain []*x509.Certificate) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: between})
	return err
}

// private tells whether host is an address that public CAs do not certify, where the
// proxy does not ask for a trusted certificate either.
func private(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast())
}

// targets lists the ports to look at: those of replicas that should answer.
func (s *Server) targets() []target {
	v := s.view.Load()
	var all []target
	seen := make(map[probeKey]int)
	for _, r := range v.Routes() {
		for _, u := range s.replicas(r) {
			if u.Address == "" || u.State != route.Ready && u.State != route.Starting && u.State != route.Unhealthy {
				continue
			}
			if i, known := seen[keyOf(u.Upstream)]; known {
				all[i].routes = append(all[i].routes, r.ID)
				continue
			}
			t := target{probeKey: keyOf(u.Upstream), name: u.Name, source: r.Source, routes: []string{r.ID}, portKey: "to", schemeKey: "the scheme in to"}
			if x, ok := v.parts[[2]string{r.ID, u.ID}]; ok {
				t.source, t.exposed, t.container = x.source.Source, x.source.Exposed, x.part.Choice.Network != ""
				t.portKey, t.schemeKey = label.Key(x.part.Name, "port"), label.Key(x.part.Name, "scheme")
			}
			seen[t.probeKey] = len(all)
			all = append(all, t)
		}
	}
	return all
}
