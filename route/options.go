package route

//go:generate go run portway/internal/docgen ../docs/labels.md

import (
	"slices"

	"portway/label"
)

// Options is what labels and static files can say about a route itself.
type Options struct {
	Hosts   []string // as CompileHost gives them, without duplicates
	Path    string   // as CompilePath gives it
	Port    int      // 0: not given
	Scheme  Scheme
	Network string // empty: not given
	HTTPS   HTTPSMode
	Role    Role
	Share   int
}

var _ label.Binder = (*Options)(nil)

// hostOption names the one option that every route needs.
const hostOption = "host"

// Labels binds the options of a route.
func (o *Options) Labels(s *label.Set) {
	s.Each(hostOption,
		"Host names of the site. Every route needs at least one; `*.example.com` stands for every name one level below example.com.",
		func(item string) error {
			host, err := CompileHost(item)
			if err == nil && !slices.Contains(o.Hosts, host) {
				o.Hosts = append(o.Hosts, host)
			}
			return err
		}, label.Example("app.example.com"))

	o.Path = "/"
	s.Func("path", "path",
		"Serve only this path and what is below it. The longest path that fits a request wins.",
		func(value string) (err error) {
			o.Path, err = CompilePath(value)
			return err
		}, label.Default("/"), label.Example("/api"))

	s.Int(&o.Port, "port", 0,
		"Port that the application listens on inside its container. Needed only where the container exposes none or several.",
		label.Range(1, 65535), label.Example("8080"))

	label.Enum(s, &o.Scheme, "scheme", HTTP, []Scheme{HTTP, HTTPS, H2C},
		"How to speak to the application: HTTP/1.1, TLS, or HTTP/2 without TLS (gRPC).",
		label.Example("h2c"))

	s.String(&o.Network, "network", "",
		"Docker network to reach the container through. Needed only where it shares several with Portway.",
		label.Example("frontend"))

	label.Enum(s, &o.HTTPS, "https", Redirect, []HTTPSMode{Redirect, Only, Off},
		"What plain HTTP gets: a redirect to https, nothing (404), or the site itself, which then gets no certificate.",
		label.Example("off"))

	o.share(s)
}
