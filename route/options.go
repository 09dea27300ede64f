package route

//go:generate go run portway/internal/docgen ../docs/labels.md

import (
	"slices"

	"portway/label"
)

// Options is what labels and static files can say about a route itself.
type Options struct {
	Hosts    []string // as in Route, without duplicates
	Path     string   // as in Route
	PathKind PathKind
	Match    Match
	Priority int
	Port     int // 0: not given
	Scheme   Scheme
	Network  string // empty: not given
	HTTPS    HTTPSMode
	TLS      TLS
	Role     Role
	Share    int

	places bool // there is a database of countries
}

var _ label.Binder = (*Options)(nil)

// hostOption names the one option that every route needs.
const hostOption = "host"

// hostPatternOption names the one that can take its place.
const hostPatternOption = "host.regexp"

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

	s.Func(hostPatternOption, "regular expression",
		"Serve hosts that fit, where no route has their name. It gets no certificate, so those names need one from elsewhere, such as a `host` with `*`, or `tls.on-demand`.",
		func(value string) error {
			_, err := compileHostPattern(value)
			o.Hosts = append(o.Hosts, hostPattern+value)
			return err
		}, label.Example("[a-z]+-preview[.]example[.]com"))

	o.path(s)

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

	o.tls(s)
	o.match(s)
	o.share(s)
}

// path binds the options for the path, one of which can be given.
func (o *Options) path(s *label.Set) {
	o.Path = "/"
	given := ""
	take := func(option string, kind PathKind, compile func(string) (string, error)) func(string) error {
		return func(value string) error {
			if given != "" {
				return &label.Error{Why: "cannot be given together with " + given, Fix: "remove one of the two, or make two routes"}
			}
			given = option
			path, err := compile(value)
			o.Path, o.PathKind = path, kind
			return err
		}
	}
	s.Func("path", "path",
		"Serve only this path and what is below it.",
		take("path", Prefix, CompilePath), label.Default("/"), label.Example("/api"))
	s.Func("path.exact", "path",
		"Serve only this path, and nothing below it. A slash at the end counts.",
		take("path.exact", Exact, compileExact), label.Example("/healthz"))
	s.Func("path.regexp", "regular expression",
		"Serve only paths that fit as a whole. What is escaped in a path is decoded before, except for `%2F` and `%25`.",
		take("path.regexp", Pattern, func(value string) (string, error) {
			_, err := label.Pattern(value)
			return value, err
		}), label.Example("/users/[0-9]+/photo"))
}
