package main

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"portway/certs/budget"
	"portway/discovery"
	"portway/label"
)

// off is what a setting says to do without something.
const off = "off"

// addresses is a list of addresses to listen at, or empty for "off".
type addresses []string

var _ encoding.TextUnmarshaler = (*addresses)(nil)

// UnmarshalText takes "off" or addresses separated by commas: "80", ":80",
// "127.0.0.1:80", "[::1]:80".
func (a *addresses) UnmarshalText(text []byte) error {
	*a = nil
	if string(text) == off {
		return nil
	}
	for _, address := range strings.Split(string(text), ",") {
		address = strings.TrimSpace(address)
		if !strings.Contains(address, ":") {
			address = ":" + address
		}
		host, number, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("%q is not an address such as :80 or 127.0.0.1:80", address)
		}
		if _, err := netip.ParseAddr(host); host != "" && err != nil {
			return fmt.Errorf("%q is not an IP address", host)
		}
		if _, err := parsePort(number); err != nil {
			return err
		}
		*a = append(*a, address)
	}
	return nil
}

// metricsAt is where metrics are served besides the control socket, if they are counted.
type metricsAt struct {
	off       bool
	addresses addresses
}

var _ encoding.TextUnmarshaler = (*metricsAt)(nil)

// UnmarshalText takes what addresses do, and "control".
func (m *metricsAt) UnmarshalText(text []byte) error {
	*m = metricsAt{off: string(text) == off}
	if string(text) == "control" {
		return nil
	}
	return m.addresses.UnmarshalText(text)
}

// port is a TCP port; 0 leaves the choice to others.
type port int

var _ encoding.TextUnmarshaler = (*port)(nil)

// UnmarshalText takes a number from 0 to 65535.
func (p *port) UnmarshalText(text []byte) error {
	n, err := parsePort(string(text))
	*p = port(n)
	return err
}

func parsePort(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a port, a number from 0 to 65535", s)
	}
	return int(n), nil
}

// duration is a length of time that is not negative.
type duration time.Duration

var _ encoding.TextUnmarshaler = (*duration)(nil)

// UnmarshalText takes "500ms", "30s", "1h30m".
func (d *duration) UnmarshalText(text []byte) error {
	n, err := time.ParseDuration(string(text))
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a time such as 30s or 5m", text)
	}
	*d = duration(n)
	return nil
}

// size is a number of bytes.
type size int64

var _ encoding.TextUnmarshaler = (*size)(nil)

// UnmarshalText takes "512", "64MiB", "1GB".
func (s *size) UnmarshalText(text []byte) error {
	n, err := label.ParseSize(string(text))
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not a size such as 64MiB or 1GiB", text)
	}
	*s = size(n)
	return nil
}

// secret is a text that nobody but us is to know.
type secret string

var _ encoding.TextUnmarshaler = (*secret)(nil)

// leastSecret is how long one must be, so that it cannot be guessed.
const leastSecret = 16

// UnmarshalText takes the text itself, or file:/PATH or env:NAME of where it is.
func (s *secret) UnmarshalText(text []byte) error {
	value, err := label.ResolveSecret(string(text))
	if err != nil {
		return err
	}
	if value = strings.TrimSpace(value); len(value) < leastSecret || strings.ContainsAny(value, " \t\r\n") {
		return fmt.Errorf("the secret must have at least %d characters and no white space in it; openssl rand -hex 32 makes a good one", leastSecret)
	}
	*s = secret(value)
	return nil
}

// password is a secret that others have chosen.
type password string

var _ encoding.TextUnmarshaler = (*password)(nil)

// UnmarshalText takes the text itself, or file:/PATH or env:NAME of where it is.
func (p *password) UnmarshalText(text []byte) error {
	value, err := label.ResolveSecret(string(text))
	*p = password(value)
	return err
}

// ipRange is one or several ranges of addresses.
type ipRange []netip.Prefix

var _ encoding.TextUnmarshaler = (*ipRange)(nil)

// private are the ranges that the public internet does not route (RFC 1918,
// RFC 4193, RFC 6598 and those of the local link and host).
var private = [...]string{
	"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
	"::1/128", "fc00::/7", "fe80::/10",
}

// UnmarshalText takes an address, a range in CIDR form, or "private".
func (r *ipRange) UnmarshalText(text []byte) error {
	*r = nil
	switch s := strings.TrimSpace(string(text)); {
	case s == "private":
		for _, p := range private {
			*r = append(*r, netip.MustParsePrefix(p))
		}
	case strings.Contains(s, "/"):
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("%q is not a range such as 10.0.0.0/8", s)
		}
		if p != p.Masked() {
			return fmt.Errorf("%q has bits set behind its prefix length; the range is %s", s, p.Masked())
		}
		*r = append(*r, p)
	default:
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("%q is not an address, a range such as 10.0.0.0/8, or private", s)
		}
		*r = append(*r, netip.PrefixFrom(a, a.BitLen()))
	}
	return nil
}

func flatten(ranges []ipRange) []netip.Prefix {
	var all []netip.Prefix
	for _, r := range ranges {
		all = append(all, r...)
	}
	return all
}

// identity is a user and group to run as.
type identity struct{ uid, gid int }

// parseIdentity takes "UID" or "UID:GID" in numbers (an image from scratch has
// no /etc/passwd); the group is the user's number if it is left out.
func parseIdentity(s string) (identity, error) {
	user, group, both := strings.Cut(s, ":")
	if !both {
		group = user
	}
	uid, err1 := strconv.ParseUint(user, 10, 31)
	gid, err2 := strconv.ParseUint(group, 10, 31)
	if errors.Join(err1, err2) != nil {
		return identity{}, fmt.Errorf("%q is not UID or UID:GID in numbers, such as 65532:65532", s)
	}
	return identity{int(uid), int(gid)}, nil
}

// hostRule is a host name with placeholders.
type hostRule struct{ discovery.HostRule }

var _ encoding.TextUnmarshaler = (*hostRule)(nil)

// UnmarshalText takes "{service}.example.com".
func (h *hostRule) UnmarshalText(text []byte) (err error) {
	if h.HostRule, err = discovery.ParseHostRule(string(text)); err != nil {
		err = fmt.Errorf("%q: %w", text, err)
	}
	return err
}

// routeOptions are options that labels can have, by name.
type routeOptions label.Values

var _ kong.MapperValue = (*routeOptions)(nil)

// Decode adds lines of "option=value".
func (o *routeOptions) Decode(ctx *kong.DecodeContext) error {
	return addLines((*label.Values)(o), ctx, "compress=true")
}

// caOptions are options of CAs, by "name.option".
type caOptions label.Values

var _ kong.MapperValue = (*caOptions)(nil)

// Decode adds lines of "name.option=value".
func (o *caOptions) Decode(ctx *kong.DecodeContext) error {
	return addLines((*label.Values)(o), ctx, "corp.directory=https://ca.example.com/acme/directory")
}

func addLines(o *label.Values, ctx *kong.DecodeContext, example string) error {
	var text string
	if err := ctx.Scan.PopValueInto("option=value", &text); err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		option, value, ok := strings.Cut(line, "=")
		option = strings.TrimPrefix(strings.TrimSpace(option), label.Prefix)
		if !ok || option == "" {
			return fmt.Errorf("%q is not of the form option=value, such as %s", line, example)
		}
		if _, twice := (*o)[option]; twice {
			return fmt.Errorf("%s is given twice", option)
		}
		if *o == nil {
			*o = make(label.Values)
		}
		(*o)[option] = value
	}
	return nil
}

// limits are what a CA allows.
type limits struct{ budget.Limits }

var _ encoding.TextUnmarshaler = (*limits)(nil)

// UnmarshalText takes "orders=300/3h, certificates=50/7d".
func (l *limits) UnmarshalText(text []byte) (err error) {
	l.Limits, err = budget.Parse(string(text))
	return err
}

// share is a part of a whole, from 0 to 1.
type share float64

var _ encoding.TextUnmarshaler = (*share)(nil)

// UnmarshalText takes "1%", "0.1%".
func (s *share) UnmarshalText(text []byte) error {
	number, ok := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(n >= 0 && n <= 100) {
		return fmt.Errorf("%q is not a share such as 1%% or 100%%", text)
	}
	*s = share(n / 100)
	return nil
}
