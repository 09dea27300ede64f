package ech

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// CheckName tells why name, in lower-case ASCII, cannot be a public name (RFC 9849
// section 6.1.7).
func CheckName(name string) error {
	_, err := netip.ParseAddr(name)
	labels := strings.Split(name, ".")
	last := labels[len(labels)-1]
	switch {
	case err == nil, last != "" && strings.Trim(last, "0123456789") == "", strings.HasPrefix(last, "0x"):
		return errors.New("an address cannot be the public name")
	case strings.HasPrefix(name, "*."):
		return errors.New("a wildcard cannot be the public name: choose a host below it")
	case len(labels) < 2:
		return errors.New("a single word cannot be the public name, which clients want to be of the form example.com")
	case len(name) > 253:
		return errors.New("the public name is longer than 253 characters")
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || l[0] == '-' || l[len(l)-1] == '-' {
			return fmt.Errorf("%q cannot be the public name: it may have letters, digits and - between its dots only", name)
		}
	}
	return nil
}

// defaultProtocol is the one that HTTPS records need not name (RFC 9460 section 9.5).
const defaultProtocol = "http/1.1"

// Record is the line of a zone file that tells clients of host about the key in use.
// Protocols are those of ALPN that the host speaks, at a port. It is empty where the
// DNS has no such record.
func (s State) Record(host string, port int, protocols []string) string {
	owner, target := host+".", "."
	if port != 443 {
		if strings.HasPrefix(host, "*.") { // a wildcard is the first label or none
			return ""
		}
		owner, target = fmt.Sprintf("_%d._https.%s.", port, host), host+"."
	}
	line := owner + " HTTPS 1 " + target
	named := slices.DeleteFunc(slices.Clone(protocols), func(p string) bool { return p == defaultProtocol })
	if len(named) > 0 {
		line += fmt.Sprintf(" alpn=%q", strings.Join(named, ","))
		if len(named) == len(protocols) {
			line += " no-default-alpn"
		}
	}
	return line + " ech=" + base64.StdEncoding.EncodeToString(s.ConfigList)
}
