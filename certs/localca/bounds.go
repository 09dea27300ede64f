package localca

import (
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// privateSuffixes are top-level domains (and home.arpa) that no public CA
// certifies: special use (RFC 6761, 6762, 7686, 8375, 9476), reserved by ICANN
// for private use, or common on local networks and never delegated.
var privateSuffixes = []string{
	"alt", "corp", "example", "home", "home.arpa", "internal", "intranet",
	"invalid", "lan", "local", "localdomain", "localhost", "onion", "private", "test",
}

// privateRanges are the addresses of local networks, this machine, carrier-grade
// NAT (which VPNs between one's devices use too) and links.
var privateRanges = []string{
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10",
	"fc00::/7", "fe80::/10", "::1/128",
}

// PrivateSuffix tells whether a host name ends in a domain that no public CA
// certifies.
func PrivateSuffix(name string) bool {
	return slices.ContainsFunc(privateSuffixes, func(suffix string) bool { return below(name, suffix) })
}

// below tells whether name is domain or ends in it.
func below(name, domain string) bool {
	rest, ok := strings.CutSuffix(name, domain)
	return ok && (rest == "" || strings.HasSuffix(rest, "."))
}

// bound constrains a CA's certificate to private names and addresses.
func bound(template *x509.Certificate) {
	template.PermittedDNSDomainsCritical = true
	template.PermittedDNSDomains = privateSuffixes
	for _, text := range privateRanges {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			panic(err) // the list above
		}
		template.PermittedIPRanges = append(template.PermittedIPRanges, network)
	}
}

// boundLike gives template the constraints of root. Not all clients look at those of
// a root, which RFC 5280 leaves to them; those of an intermediate all do.
func boundLike(template, root *x509.Certificate) {
	template.PermittedDNSDomainsCritical = constrained(root)
	template.PermittedDNSDomains, template.ExcludedDNSDomains = root.PermittedDNSDomains, root.ExcludedDNSDomains
	template.PermittedIPRanges, template.ExcludedIPRanges = root.PermittedIPRanges, root.ExcludedIPRanges
}

func constrained(cert *x509.Certificate) bool {
	return len(cert.PermittedDNSDomains)+len(cert.ExcludedDNSDomains)+len(cert.PermittedIPRanges)+len(cert.ExcludedIPRanges) > 0
}

// permits tells whether the constraints of root allow name, which may be an address
// or a wildcard.
func permits(root *x509.Certificate, name string) bool {
	if addr, err := netip.ParseAddr(name); err == nil {
		contains := func(n *net.IPNet) bool { return n.Contains(addr.AsSlice()) }
		return (len(root.PermittedIPRanges) == 0 || slices.ContainsFunc(root.PermittedIPRanges, contains)) &&
			!slices.ContainsFunc(root.ExcludedIPRanges, contains)
	}
	base := strings.TrimPrefix(name, "*.")
	covers := func(domain string) bool { return below(base, strings.TrimPrefix(domain, ".")) }
	return (len(root.PermittedDNSDomains) == 0 || slices.ContainsFunc(root.PermittedDNSDomains, covers)) &&
		!slices.ContainsFunc(root.ExcludedDNSDomains, covers)
}
