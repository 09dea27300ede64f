// Package dashboard shows in a browser what package admin knows: what is served and what
// is not, with what to type; requests as they come; certificates; the log; what changed.
//
// Pages are made here and work without JavaScript; with it they are live. Nothing is
// asked of other hosts. Whoever wants to see a page has to sign in: by a password whose
// hash is stored, or by a link that works once.
package dashboard

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"

	"portway/admin"
)

// Config is what a Dashboard shows, and to whom.
type Config struct {
	Admin   *admin.Server
	Log     *admin.Log // its lines; nil: none are shown
	Version string

	// Traffic gives what was counted for each route so far; nil: nothing is counted.
	Traffic func() []Traffic

	Folder string   // where the password's hash is stored, and what signs sessions
	Hosts  []string // at which Direct answers too, besides addresses and local names
	// Links are addresses of the dashboard, without a path, for links to sign in.
	Links func() []string
	// FirstPassword is told the password that is made where none is stored. It must not
	// get to where others can read it.
	FirstPassword func(password string)

	Logger *slog.Logger // nil: nowhere

	cost int // of the password's hash; 0: bcrypt's default
}

// Dashboard serves the pages. Make one with New.
type Dashboard struct {
	cfg      Config
	account  *account
	links    links
	followed used
	tries    tries
	sampler  *sampler
	assets   assets
	pages    http.Handler  // for those who have signed in, and for the sign-in page itself
	streams  atomic.Int64  // that are open
	ended    chan struct{} // closed when Run is over
}

// New reads the password's hash, or makes a password.
func New(cfg Config) (*Dashboard, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Admin == nil || cfg.Folder == "" {
		return nil, errors.New("dashboard: Admin and Folder are needed")
	}
	a, first, err := openAccount(cfg.Folder, cmp.Or(cfg.cost, bcrypt.DefaultCost))
	if err != nil {
		return nil, err
	}
	d := &Dashboard{cfg: cfg, account: a, sampler: newSampler(cfg.Traffic), assets: loadAssets(), ended: make(chan struct{})}
	d.pages = d.mux()
	if first != "" && cfg.FirstPassword != nil {
		cfg.FirstPassword(first)
	}
	return d, nil
}

// Run keeps account of requests until ctx is done; then streams end.
func (d *Dashboard) Run(ctx context.Context) error {
	defer close(d.ended)
	d.sampler.run(ctx)
	return nil
}

// mux has all pages.
func (d *Dashboard) mux() http.Handler {
	m := http.NewServeMux()
	for name := range d.assets {
		m.Handle("GET /assets/"+name, d.assets)
	}
	m.HandleFunc("GET /sign-in", d.showSignIn)
	m.HandleFunc("POST /sign-in", d.signIn)
	m.HandleFunc("POST /sign-out", d.signOut)
	for pattern, page := range map[string]http.HandlerFunc{
		"GET /{$}":            d.overview,
		"GET /routes":         d.routes,
		"GET /routes/{id...}": d.route,
		"GET /containers":     d.containers,
		"GET /certificates":   d.certificates,
		"GET /explain":        d.explain,
		"POST /explain":       d.try,
		"GET /reasons":        d.reasons,
		"GET /log":            d.log,
		"GET /history":        d.history,
		"GET /live":           d.live,
		"/":                   d.notFound,
	} {
		m.Handle(pattern, d.signedIn(page))
	}
	return m
}

// Direct is the handler for connections of browsers themselves.
func (d *Dashboard) Direct() http.Handler {
	return d.guard(func(r *http.Request) (visitor, error) {
		if !d.knownHost(r.Host) {
			return visitor{}, errOtherHost
		}
		return visitor{client: clientOf(r.RemoteAddr), secure: r.TLS != nil}, nil
	})
}

// Relayed is the handler for connections of Portway's own proxy only: who asks, and
// over what, is what its fields say.
func (d *Dashboard) Relayed() http.Handler {
	return d.guard(func(r *http.Request) (visitor, error) {
		return visitor{client: r.Header.Get("X-Real-Ip"), secure: r.Header.Get("X-Forwarded-Proto") == "https"}, nil
	})
}

// policy lets pages load what is here, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// guard is in front of everything.
func (d *Dashboard) guard(who func(*http.Request) (visitor, error)) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "this request comes from another site: open the dashboard itself, and do it there", http.StatusForbidden)
	}))
	inner := crossOrigin.Handler(d.pages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Robots-Tag", "noindex")
		v, err := who(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
	})
}

// maxForm bounds what is posted.
const maxForm = 64 << 10

// errOtherHost keeps pages of a site whose name leads to this address out (DNS rebinding).
var errOtherHost = errors.New("the dashboard does not answer at this name: ask by its address, by localhost, or by the name that the setting dashboard-host has")

// knownHost tells whether nobody else can have a host lead here to act in our name:
// addresses and names without a dot cannot be had in the DNS.
func (d *Dashboard) knownHost(host string) bool {
	name := strings.ToLower(hostname(host))
	if name == "" {
		return false
	}
	if isAddress(name) || !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost") {
		return true
	}
	for _, h := range d.cfg.Hosts {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// assets are files that never change while the program runs.
type assets map[string]asset

func loadAssets() assets {
	all := make(assets)
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, e := range entries {
		text, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		all[e.Name()] = newAsset(e.Name(), text)
	}
	return all
}
