package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// query asks the resolvers, one after the other, until one answers.
func (c *Checker) query(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	m.SetEdns0(1232, false)
	err := errors.New("no DNS server is known")
	for _, server := range c.resolvers {
		for _, network := range []string{"udp", "tcp"} {
			client := &dns.Client{Net: network, Timeout: 3 * time.Second}
			var answer *dns.Msg
			answer, _, err = client.ExchangeContext(ctx, m, server)
			if err == nil && answer.Truncated && network == "udp" {
				continue
			}
			if err == nil {
				return answer, nil
			}
			break
		}
	}
	return nil, err
}

// addresses are those that name has, with the code of the answer. One of either family
// is enough, as it is for a CA: there are DNS servers that know nothing of AAAA.
func (c *Checker) addresses(ctx context.Context, name string) (all []string, code int, err error) {
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, err := c.query(ctx, name, kind)
		if len(all) > 0 && (err != nil || answer.Rcode != dns.RcodeSuccess) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		if code = answer.Rcode; code != dns.RcodeSuccess {
			return nil, code, nil
		}
		for _, record := range answer.Answer {
			switch record := record.(type) {
			case *dns.A:
				all = append(all, record.A.String())
			case *dns.AAAA:
				all = append(all, record.AAAA.String())
			}
		}
	}
	return all, code, nil
}

// checkCAA looks whether the DNS allows the CA (RFC 8659): the records of the
// nearest name upwards that has any decide.
func (c *Checker) checkCAA(ctx context.Context, name string, identities []string, r *Result) {
	base, wildcard := strings.CutPrefix(name, "*.")
	for at := base; at != ""; _, at, _ = strings.Cut(at, ".") {
		answer, err := c.query(ctx, at, dns.TypeCAA)
		if err != nil || answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
			r.warn("The CAA records of %s cannot be looked up from here; if the CA cannot either, it refuses.", at)
			return
		}
		var records []*dns.CAA
		for _, record := range answer.Answer {
			if caa, ok := record.(*dns.CAA); ok {
				records = append(records, caa)
			}
		}
		if len(records) == 0 {
			continue
		}
		if !allowed(records, wildcard, identities) {
			r.Fatal = fmt.Sprintf("The CAA record of %s forbids this CA to certify %s. Add one that allows it: %s. CAA 0 issue %q", at, name, at, identities[0])
		}
		return
	}
}

// allowed tells whether records let one of identities certify.
func allowed(records []*dns.CAA, wildcard bool, identities []string) bool {
	values := make(map[string][]string)
	for _, r := range records {
		tag := strings.ToLower(r.Tag)
		switch tag {
		case "issue", "issuewild":
			issuer, _, _ := strings.Cut(r.Value, ";") // what follows are parameters
			values[tag] = append(values[tag], strings.ToLower(strings.TrimSpace(issuer)))
		case "iodef", "contactemail", "contactphone", "issuemail", "issuevmc":
		default:
			if r.Flag&128 != 0 { // critical, and no CA would know it better
				return false
			}
		}
	}
	use, ok := values["issue"], len(values["issue"]) > 0
	if wild := values["issuewild"]; wildcard && len(wild) > 0 {
		use, ok = wild, true
	}
	return !ok || slices.ContainsFunc(use, func(issuer string) bool { return slices.Contains(identities, issuer) })
}
