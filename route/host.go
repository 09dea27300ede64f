package route

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"portway/label"
)

// maxHost is the longest host name in DNS, without a trailing dot; no name in
// another script that is longer than maxWritten can end up shorter than that.
const (
	maxHost    = 253
	maxWritten = 4 * maxHost
)

// profile maps names as browsers do (UTS #46, non-transitional, hyphens
// anywhere); which ASCII characters are allowed is checked afterwards, since
// names on a local network may hold an underscore.
var profile = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.StrictDomainName(false),
	idna.CheckHyphens(false),
	idna.BidiRule(),
)

// CompileHost normalises a host as a user writes it: a name in any case and
// script, perhaps with a trailing dot, with "*." in front for every name one
// level below, or an IP address. It returns lower-case ASCII (punycode, RFC
// 5891), IP addresses in canonical form without brackets. The error is a
// *label.Error that tells what to type.
func CompileHost(host string) (string, error) {
	host = strings.TrimSpace(host)
	if host == "" {
		return "", hostError("", "is empty", "write a host name")
	}
	if len(host) > maxWritten { // converting takes more than linear time
		return "", hostError(host, "is longer than 253 characters", "write a shorter name")
	}
	if err := notOnlyAHost(host); err != nil {
		return "", err
	}
	bare := host
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		bare = strings.TrimSuffix(inner, "]")
	}
	if addr, err := netip.ParseAddr(bare); err == nil && (bare == host || addr.Is6()) {
		if addr.Zone() != "" {
			return "", hostError(host, "has a zone, which no browser sends", "write "+addr.WithZone("").String())
		}
		return addr.String(), nil
	}
	name, wildcard := strings.CutPrefix(host, "*.")
	if strings.Contains(name, "*") {
		return "", hostError(host, "has a * that is no whole first label", "write *.example.com for every name one level below example.com")
	}
	ascii, err := profile.ToASCII(name)
	if err != nil || !utf8.ValidString(name) {
		return "", hostError(host, "is no host name", "write letters, digits, - and dots only")
	}
	ascii = strings.TrimSuffix(ascii, ".")
	if err := checkName(host, ascii); err != nil {
		return "", err
	}
	if wildcard {
		ascii = "*." + ascii
	}
	if len(ascii) > maxHost {
		return "", hostError(host, "is longer than 253 characters", "write a shorter name")
	}
	return ascii, nil
}

const applicationPort = "; the application's port goes into the option port"

// notOnlyAHost finds what people write around a host name.
func notOnlyAHost(host string) error {
	if _, after, ok := strings.Cut(host, "`"); ok {
		name, _, _ := strings.Cut(after, "`")
		return hostError(host, "is a rule of another proxy", "write the name alone: "+name)
	}
	if scheme, rest, ok := strings.Cut(host, "://"); ok {
		name, _, _ := strings.Cut(rest, "/")
		return hostError(host, "has a scheme", "write the name without "+scheme+"://: "+name)
	}
	if name, path, ok := strings.Cut(host, "/"); ok {
		fix := "write the name alone: " + name
		if path != "" {
			fix += ", and the path /" + path + " in the option path"
		}
		return hostError(host, "has a path", fix)
	}
	if strings.ContainsAny(host, " \t\r\n;") {
		return hostError(host, "is more than one name", "write a comma between names")
	}
	if name, port, ok := strings.Cut(host, ":"); ok && !strings.Contains(port, ":") {
		return hostError(host, "has a port", "write the name alone: "+name+applicationPort)
	}
	if name, _, ok := strings.Cut(host, "]:"); ok {
		return hostError(host, "has a port", "write the address alone: "+strings.TrimPrefix(name, "[")+applicationPort)
	}
	return nil
}

// checkName applies the rules of DNS to a name in ASCII.
func checkName(host, ascii string) error {
	labels := strings.Split(ascii, ".")
	for _, l := range labels {
		switch {
		case l == "":
			return hostError(host, "has an empty label between dots", "write names with one dot between labels, like app.example.com")
		case len(l) > 63:
			return hostError(host, "has a label longer than 63 characters", "write a shorter name")
		case strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return hostError(host, "is no host name", "write letters, digits, - and dots only")
		case l[0] == '-' || l[len(l)-1] == '-':
			return hostError(host, "has a label that begins or ends with -", "write - only inside of a label")
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return hostError(host, "looks like an IP address, and is none", "write four numbers from 0 to 255 like 192.168.1.10, or a name")
	}
	return nil
}

func hostError(host, why, fix string) error {
	if host != "" {
		why = label.Quote(host) + " " + why
	}
	return &label.Error{Why: why, Fix: fix}
}
