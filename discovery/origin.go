package discovery

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"portway/label"
	"portway/route"
)

// parseOrigin reads where a static route leads to: http://host:port,
// https://host:port, h2c://host:port or unix:/path.
func parseOrigin(text string) (route.Upstream, *label.Error) {
	const accepted = "write it like http://192.168.1.10:5000, https://…, h2c://… or unix:/run/app.sock"
	bad := func(why string) (route.Upstream, *label.Error) {
		return route.Upstream{}, &label.Error{Why: label.Quote(text) + " " + why, Fix: accepted}
	}
	if strings.Contains(text, "@") {
		// Not repeated: it may be a password.
		return route.Upstream{}, &label.Error{Why: "holds a user or a password, which would not be sent", Fix: "remove what is before the @"}
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("is no URL")
	}
	up := route.Upstream{Network: "tcp", State: route.Ready}
	port := "80"
	switch u.Scheme {
	case "unix":
		return unixOrigin(text, u)
	case "http":
		up.Scheme = route.HTTP
	case "https":
		up.Scheme, port = route.HTTPS, "443"
	case "h2c":
		up.Scheme = route.H2C
	default:
		return bad("does not begin with http://, https://, h2c:// or unix:/")
	}
	switch {
	case u.Opaque != "" || u.Hostname() == "":
		return bad("names no host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return bad("has more than scheme, host and port")
	}
	host := strings.ToLower(u.Hostname())
	if strings.ContainsAny(host, " \t\r\n,\x00") {
		return bad("names no host")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return bad("has a port that is not from 1 to 65535")
	}
	up.Address = net.JoinHostPort(host, port)
	up.ID = string(up.Scheme) + "://" + up.Address
	up.Name = up.ID
	return up, nil
}

// unixOrigin reads unix:/path and unix:///path.
func unixOrigin(text string, u *url.URL) (route.Upstream, *label.Error) {
	const longest = 107 // see unix(7)
	path := u.Path
	if u.Host != "" || u.Opaque != "" || !strings.HasPrefix(path, "/") || strings.Contains(path, "\x00") || u.RawQuery != "" || u.Fragment != "" {
		return route.Upstream{}, &label.Error{Why: label.Quote(text) + " is no absolute path of a socket", Fix: "write it like unix:/run/app.sock"}
	}
	if len(path) > longest {
		return route.Upstream{}, &label.Error{Why: "has a path that is longer than the 107 bytes which sockets can have", Fix: "choose a shorter path"}
	}
	id := "unix:" + path
	return route.Upstream{ID: id, Name: id, Network: "unix", Address: path, Scheme: route.HTTP, State: route.Ready}, nil
}
