package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"portway/certs"
	"portway/certs/dns"
)

// dns makes what answers DNS-01 challenges, or nil. It reads the providers' secrets,
// which may be root's.
func (r *runCmd) dns(inv *invocation, logger *slog.Logger) (certs.DNSSolver, error) {
	if len(r.DNSProvider) == 0 {
		return nil, nil
	}
	solver, err := dns.New(dns.Config{
		Providers: r.DNSProvider, Resolvers: r.DNSResolvers, Check: dns.Check(r.DNSCheck),
		Timeout: time.Duration(r.DNSTimeout), Delay: time.Duration(r.DNSDelay), Logger: logger,
	})
	if err != nil {
		return nil, &settingsError{[]string{fmt.Sprintf("%s: %v%s", inv.where("dns-provider"), err, r.meantProvider())}}
	}
	return solver, nil
}

// meantProvider suggests a name for the first that there is not.
func (r *runCmd) meantProvider() string {
	names := dns.Names()
	for _, word := range r.DNSProvider {
		name := word[strings.LastIndexByte(word, '=')+1:]
		if !slices.Contains(names, name) {
			return didYouMean(name, names, func(s string) string { return s })
		}
	}
	return ""
}
