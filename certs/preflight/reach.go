package preflight

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Reach tells whether what a CA sends to a port comes to this process.
type Reach int

// What is known about a port.
const (
	Unknown Reach = iota // it was not looked at
	Here                 // at all addresses
	NotHere              // not at all of them, as far as we can tell
)

// answer is what was found at a port of an address.
type answer struct {
	port   int
	tls    bool
	here   bool
	status string // of what else answers; empty: nothing can be reached
}

// reach looks who answers at the addresses of the name, at both ports at once. Nothing is
// said where one of them leads here: a challenge can arrive there.
func (c *Checker) reach(ctx context.Context, t Target, addresses []string, r *Result) {
	var ports []answer
	if t.Port >= 0 {
		ports = append(ports, answer{port: or(t.Port, 80)})
	}
	if t.TLSPort >= 0 {
		ports = append(ports, answer{port: or(t.TLSPort, 443), tls: true})
	}
	all := make([][]answer, len(addresses))
	var g sync.WaitGroup
	for i, address := range addresses {
		all[i] = slices.Clone(ports)
		for j := range all[i] {
			g.Go(func() { c.askPort(ctx, t.Name, address, &all[i][j]) })
		}
	}
	g.Wait()
	for i, address := range addresses {
		found := false
		for _, a := range all[i] {
			at := &r.HTTP
			if a.tls {
				at = &r.TLS
			}
			switch {
			case !a.here:
				*at = NotHere
			case *at == Unknown:
				*at = Here
			}
			found = found || a.here
		}
		if !found && len(ports) > 0 {
			r.Warnings = append(r.Warnings, nobodyHere(t.Name, address, all[i]))
		}
	}
}

func or(port, usual int) int {
	if port == 0 {
		return usual
	}
	return port
}

func (c *Checker) askPort(ctx context.Context, name, address string, a *answer) {
	at := net.JoinHostPort(address, strconv.Itoa(a.port))
	ask := c.Ask
	if a.tls {
		ask = c.AskTLS
	}
	token, status, err := ask(ctx, name, at)
	if err == nil {
		a.here, a.status = token != "", status
	}
}

// nobodyHere says in a sentence what is wrong with all ports of an address.
func nobodyHere(name, address string, ports []answer) string {
	var silent, others []string
	for _, a := range ports {
		if a.status == "" {
			silent = append(silent, strconv.Itoa(a.port))
		} else {
			others = append(others, fmt.Sprintf("%d (%s)", a.port, a.status))
		}
	}
	if len(others) > 0 {
		also := ""
		if len(silent) > 0 {
			also = ", and nothing at port " + silent[0]
		}
		return fmt.Sprintf("%s points to %s, where something else than Portway answers at port %s%s: let it point to this machine, or let that port lead to Portway.",
			name, address, strings.Join(others, " and "), also)
	}
	if ourAddress(address) {
		return fmt.Sprintf("%s points to %s, which is this machine, but nothing answers at port %s.", name, address, strings.Join(silent, " or "))
	}
	// Many routers lead nobody back in (hairpin NAT).
	return fmt.Sprintf("%s points to %s, where port %s cannot be reached from here: that is so behind some routers, and wrong if it is so from the internet.",
		name, address, strings.Join(silent, " or "))
}

// Ask asks at an address (host:port), by the name of a host, which Portway is there. token
// is the same for all answers of one process, and empty if something else answers.
func (c *Checker) Ask(ctx context.Context, host, at string) (token, status string, err error) {
	return c.ask(ctx, c.http, "http", host, at)
}

// AskTLS is Ask where TLS is spoken. Who ends TLS must be Portway too, which it is known by
// as long as the name has a temporary certificate only: challenges do not come through others.
func (c *Checker) AskTLS(ctx context.Context, host, at string) (token, status string, err error) {
	foreign := ""
	client := *c.http
	client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		ServerName: host, InsecureSkipVerify: true, // it is the token that counts
		VerifyConnection: func(s tls.ConnectionState) error {
			if by := s.PeerCertificates[0].Issuer.Organization; !slices.Contains(by, "Portway") {
				foreign = "with a certificate of its own"
			}
			return nil
		},
	}}
	token, status, err = c.ask(ctx, &client, "https", host, at)
	if err == nil && foreign != "" {
		return "", foreign, nil
	}
	return token, status, err
}

func (c *Checker) ask(ctx context.Context, client *http.Client, scheme, host, at string) (token, status string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+at+Path, nil)
	if err != nil {
		return "", "", err
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = resp.Body.Close() }()
	said := make([]byte, len(c.token))
	n, _ := io.ReadFull(resp.Body, said)
	if got := string(said[:n]); strings.HasPrefix(got, "portway ") {
		token = got
	}
	return token, resp.Status, nil
}

// ourAddress tells whether address is one of this machine's.
func ourAddress(address string) bool {
	ip := net.ParseIP(address)
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range ours {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}
