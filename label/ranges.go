package label

import (
	"net/netip"
	"strings"
)

// Ranges is a set of IP addresses.
type Ranges []netip.Prefix

// private are the ranges that the public internet does not route (RFC 1918,
// RFC 4193, RFC 6598 and those of the local link and host), as in the setting
// trusted-proxies.
var private = [...]string{
	"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
	"::1/128", "fc00::/7", "fe80::/10",
}

// Add reads an address, a range in CIDR form, or "private", which stands for all
// ranges that the public internet does not route. The error is an *Error.
func (r *Ranges) Add(item string) error {
	wrong := func(why, fix string) error { return &Error{Why: Quote(item) + " " + why, Fix: fix} }
	if item == "private" {
		for _, p := range private {
			*r = append(*r, netip.MustParsePrefix(p))
		}
		return nil
	}
	p, err := netip.ParsePrefix(item)
	if !strings.Contains(item, "/") {
		var a netip.Addr
		if a, err = netip.ParseAddr(item); err == nil {
			p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		}
	}
	switch {
	case err != nil || strings.Contains(item, "%"): // a zone
		return wrong("is neither an address nor a range", "write for example 192.0.2.1, 10.0.0.0/8, 2001:db8::/32 or private")
	case p.Addr().Is4In6():
		return wrong("is an IPv4 range in IPv6 form", "write it as IPv4, for example 10.0.0.0/8")
	case p != p.Masked():
		return wrong("has bits set behind its prefix length", "write "+p.Masked().String()+" for the range, or "+p.Addr().String()+" for the address")
	}
	*r = append(*r, p)
	return nil
}

// Contain tells whether a is in one of the ranges.
func (r Ranges) Contain(a netip.Addr) bool {
	if !a.Is4() {
		a = a.Unmap().WithZone("")
	}
	for i := range r {
		if r[i].Contains(a) {
			return true
		}
	}
	return false
}
