package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mholt/acmez/v3/acme"

	"portway/certs/budget"
)

// failure is why a try failed, for people and for the schedule.
type failure struct {
	reason string        // the CA's own words, and what to do
	wait   time.Duration // what the CA asked for; 0: nothing

	early     bool // no order was made, since it would have broken a limit of the CA
	elsewhere bool // another CA may do better
	ill       bool // the CA itself does not work at the moment
}

// explain makes a failure of the error that t ended with. directory is the
// CA's, for hints.
func (t *try) explain(err error, s storage, directory string) failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := failure{wait: t.retryAfter}
	var problem acme.Problem
	var early *budget.Wait
	var bad *unfit
	var dns *dnsError
	switch {
	case errors.As(err, &early):
		f.reason, f.wait, f.early, f.elsewhere = early.Why, time.Until(early.Until), true, true
	case t.storageErr != nil:
		f.reason = capital(s.explain(t.storageErr).Error())
	case errors.As(err, &bad):
		f.reason, f.elsewhere = bad.why, true // a CAA record may allow the other
	case errors.As(err, &problem):
		f.elsewhere = len(t.challenges) == 0 // else the other CA would look at the same DNS and ports
		f.ill = problem.Type == acme.ProblemTypeServerInternal || problem.Status >= 500
		if problem.Type == acme.ProblemTypeRateLimited && f.wait == 0 {
			f.wait = unnamedWait
		}
		f.reason = sentence(t.said(problem)) + " " + t.advice(problem)
	case errors.As(err, &dns): // another CA would want the same record
		f.reason = sentence(dns.text)
	default:
		f.elsewhere, f.ill = true, unreachable(err)
		f.reason = sentence(strip(err, t.name)) + " " + errorAdvice(err, directory)
	}
	if t.dns != "" && dns == nil {
		f.reason = sentence(t.dns) + " Then, without DNS: " + f.reason
	}
	f.reason = strings.TrimSpace(f.reason)
	return f
}

// said returns the CA's words: about each challenge that failed if there are
// any, else of the problem that ended the try.
func (t *try) said(p acme.Problem) string {
	words := p.Detail
	if words == "" {
		words = strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace)
	}
	for _, sub := range p.Subproblems {
		words += "; " + sub.Detail
	}
	heard := slices.Compact(slices.Clone(t.challenges))
	if len(heard) == 0 {
		return "The CA said: " + words
	}
	if !strings.Contains(strings.Join(heard, "\n"), p.Detail) {
		heard = append(heard, words)
	}
	return "The CA said: " + strings.Join(heard, "; ")
}

// advice says what to do about p.
func (t *try) advice(p acme.Problem) string {
	if p.Type == acme.ProblemTypeUnauthorized && len(t.challenges) == 0 { // it is not about the name
		return "The CA does not accept Portway's account: if accounts there are bound to another one, check the key id and the key (EAB)."
	}
	if len(t.challenges) > 0 && !slices.ContainsFunc(t.challenges, func(s string) bool { return !strings.HasPrefix(s, acme.ChallengeTypeDNS01+": ") }) {
		return "The record was set and seen, but not by the CA: check that the DNS servers named for the zone of " + strings.TrimPrefix(t.name, "*.") + " are the ones of the DNS provider."
	}
	return problemAdvice(p.Type, t.name)
}

// problemAdvice says what to do about a problem of RFC 8555 section 6.7.
func problemAdvice(kind, name string) string {
	switch strings.TrimPrefix(kind, acme.ProblemTypeNamespace) {
	case "connection", "tls", "unauthorized", "incorrectResponse": // CAs differ in which they choose
		return "Check that the DNS records (A, AAAA) of " + name + " point to this machine, and that ports 80 and 443 reach" +
			" Portway from the internet, and not another server or proxy."
	case "dns":
		return "Create a DNS record (A, AAAA) for " + name + " that points to this machine, or mend its DNS."
	case "caa":
		return "Change the CAA record in the DNS of " + name + " so that it allows this CA."
	case "rateLimited":
		return "Portway waits as long as the CA asks."
	case "rejectedIdentifier", "unsupportedIdentifier":
		return "This CA does not certify " + name + ": use another name, or another CA."
	case "externalAccountRequired":
		return "This CA wants an account that is bound to one you have there already: give Portway the key id and the key (EAB) that the CA shows you, or use another CA."
	case "invalidProfile":
		return "The CA has no such profile, or not for this account: see its documentation, or leave the profile out."
	case "invalidContact", "unsupportedContact":
		return "Check the e-mail address that Portway gives to the CA."
	case "userActionRequired":
		return "The CA wants you to do something first, like agreeing to new terms: see the address it names."
	case "serverInternal", "badNonce":
		return "The trouble is on the CA's side; Portway tries again."
	default:
		return ""
	}
}

// errorAdvice says what to do about an error that is not in the CA's words.
func errorAdvice(err error, directory string) string {
	var (
		dns     *net.DNSError
		op      *net.OpError
		u       *url.Error
		untrust *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &untrust):
		return fmt.Sprintf("The certificate of the ACME directory %s itself is not trusted: if the CA is your own, tell Portway its root.", directory)
	case errors.As(err, &dns):
		return fmt.Sprintf("Check the address of the ACME directory, %s, and the DNS of this machine.", directory)
	case errors.As(err, &op), errors.As(err, &u):
		return fmt.Sprintf("The CA cannot be reached: check the address of the ACME directory, %s, and that this machine may connect to it.", directory)
	case strings.Contains(err.Error(), "provisioning client"):
		return fmt.Sprintf("%s does not look like an ACME directory: check the address.", directory)
	case errors.Is(err, context.DeadlineExceeded):
		return "The CA took too long; Portway tries again."
	default:
		return ""
	}
}

// unreachable tells whether err means that the CA could not be spoken to.
func unreachable(err error) bool {
	var (
		u  *url.Error
		op *net.OpError
	)
	return errors.As(err, &u) || errors.As(err, &op) || strings.Contains(err.Error(), "provisioning client")
}

// strip takes from an error of certmagic what the reader knows.
func strip(err error, name string) string {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Error()
	}
	s := err.Error()
	if _, rest, ok := strings.Cut(s, "provisioning client: "); ok {
		return rest
	}
	for _, prefix := range []string{"[" + name + "] Obtain: ", "[" + name + "] Renew: ", "[" + name + "] "} {
		s = strings.TrimPrefix(s, prefix)
	}
	return s
}

// sentence gives s a capital letter and a full stop, on one line.
func sentence(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if end := 1000; len(s) > end {
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "..."
	}
	s = capital(s)
	if s != "" && !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if upper := unicode.ToUpper(first); upper != first { // never so for what is no UTF-8
		return string(upper) + s[size:]
	}
	return s
}
