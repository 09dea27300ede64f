package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"portway/admin"
	"portway/admin/dashboard"
	"portway/certs"
	"portway/certs/preflight"
	"portway/discovery"
	"portway/geo"
	"portway/internal/service"
	"portway/label"
	"portway/proxy"
	"portway/proxy/cache"
	"portway/route"
)

const dockerSocket = "unix:///var/run/docker.sock"

// Run serves until a signal or a failure ends it. The order matters: what
// needs root comes before giving it up, what writes files comes after.
func (r *runCmd) Run(inv *invocation, c *cli) error {
	level := new(slog.LevelVar)
	level.Set(parseLevel(r.LogLevel))
	lines := admin.NewLog()
	notKept := newLogger(os.Stderr, r.LogFormat, level) // for what the API is not to tell
	logger := slog.New(lines.Handler(notKept.Handler()))
	logger.Info("starting", "version", versionString(), "settings_file", cmp.Or(inv.sources.path, "none"))

	inherited, err := service.Inherit(inv.sources.env)
	if err != nil {
		return err
	}
	around := &neighbours{inv: inv, logger: logger, inherited: inherited, accept: make(chan struct{})}
	if err := around.listen(r, c); err != nil {
		return err
	}
	listeners := around.listeners
	defer listeners.Close()
	engine, err := r.dial(inv)
	if err != nil {
		return err
	}
	cas, err := r.cas(inv) // whose secrets may be root's
	if err != nil {
		return err
	}
	left, err := r.leftByOthers(inv)
	if err != nil {
		return err
	}
	solver, err := r.dns(inv, logger) // likewise
	if err != nil {
		return err
	}
	if err := r.giveUpRoot(inv, c, logger); err != nil {
		return err
	}
	wanted := r.certs(listeners, cas, solver, logger)
	manager, err := certs.New(wanted)
	if err != nil {
		if wrong := (*certs.CAError)(nil); errors.As(err, &wrong) {
			return err
		}
		return fmt.Errorf("%s: %w", inv.where("storage"), err)
	}
	hello, err := r.hello(listeners, logger)
	if err != nil {
		return err
	}
	certificates := certificates{manager}
	certificates.takeOver(context.Background(), left, logger)
	answers, err := cache.New(cache.Config{Memory: int64(r.CacheMemory), Disk: int64(r.CacheDisk), Folder: r.cacheFolder(), Logger: logger})
	if err != nil {
		return fmt.Errorf("%s: %w", inv.where("cache-memory"), err)
	}
	serving := proxy.Config{
		Cache:             answers,
		Listeners:         listeners,
		Plain:             certificates.plain(),
		Secure:            purging(r.PurgeToken, answers),
		ProxyProtocolFrom: flatten(r.ProxyProtocolFrom),
		Trusted:           flatten(r.TrustedProxies),
		HTTPSPort:         int(r.HTTPSPort),
		HTTP3After:        inherited.Released(),
		Drain:             time.Duration(r.Drain),
		Certs:             certificates,
		HelloKeys:         hello.keys(),
		OwnerPages:        r.OwnerPages,
		Logger:            logger,
	}
	if wanted.Preflight != nil {
		reached := wanted.Preflight.Handler()
		serving.Plain[preflight.Path] = reached
		if serving.Secure == nil {
			serving.Secure = make(map[string]http.Handler)
		}
		serving.Secure[preflight.Path] = reached
	}
	watching, err := r.watch(inv, logger)
	if err != nil {
		return err
	}
	serving.Observer = watching.observer()
	var countries *geo.Database
	if r.GeoIP != "" {
		countries = geo.Open(r.GeoIP, logger)
		serving.Places = countries
	}
	var status *admin.Server // set before anything is served
	serving.Failed = func(f proxy.Failure) { status.Failed(admin.Failure(f)) }
	known := r.owners(&serving)
	server, err := proxy.New(serving)
	if err != nil {
		return err
	}
	status = admin.New(admin.Config{
		Version: versionString(), Cache: counts(answers), Purge: purge(answers), Replicas: replicas(server), Certificates: certificates.describe, Problems: func() []label.Problem { return append(certificates.problems(), server.Problems()...) },
		Metrics: watching.handler(), Root: certificates.root, HelloKeys: hello.tell(server.Protocols), Places: serving.Places, Log: lines, Logger: logger,
	})
	watching.registry.MustRegister(status.Collector())
	around.openControl(c.Control)
	board := r.dashboard(dashboard.Config{Admin: status, Log: lines, Traffic: watching.traffic(), Logger: logger}, around, c.Control, notKept)
	known.Dashboard = board.Dashboard
	problems := &admin.ProblemLog{Logger: logger}
	reloader := newReloader(inv, logger, map[string]func(*cli){
		"log-level":       func(c *cli) { level.Set(parseLevel(c.Run.LogLevel)) },
		"trusted-proxies": func(c *cli) { server.SetTrusted(flatten(c.Run.TrustedProxies)) },
	})

	// The proxy ends first, at the signal; what it needs while it drains ends after it.
	life, end := context.WithCancel(context.Background())
	defer end()
	g, life := errgroup.WithContext(life)
	asked, endControl := context.WithCancel(life)
	defer endControl()
	stop := untilSignal(life, logger, handlers{
		reload: func() {
			around.notify(service.Reloading())
			reloader.reload()
			around.notify(service.Ready)
		},
		reopen:   watching.reopen,
		handOver: func(ctx context.Context) bool { return around.handOver(ctx, server, endControl) },
		stopping: func() {
			status.Draining()
			around.notify(service.Stopping)
		},
	})
	context.AfterFunc(stop, status.Draining)
	secure := len(listeners.HTTPS()) > 0
	emit := func(t *route.Table) {
		if secure { // first, so that no route is there without its name
			manager.SetNames(hello.addTo(certificates.names(t)))
		}
		server.SetTable(t)
		watching.setTable(t)
		status.SetTable(t)
		problems.Update(t.Problems())
		around.ready(life, manager.All)
	}
	g.Go(func() error {
		defer end()
		select {
		case <-around.accept:
		case <-stop.Done():
		}
		return server.Run(stop)
	})
	g.Go(func() error { return manager.Run(life) })
	g.Go(func() error { return hello.run(life) })
	g.Go(func() error { return status.Run(life) })
	g.Go(func() error { return watching.run(life) })
	if countries != nil {
		g.Go(func() error { return countries.Run(life) })
	}
	g.Go(func() error {
		return discovery.Watch(life, r.discovery(engine, board.routes(), logger), emit)
	})
	if around.control != nil {
		g.Go(func() error {
			return serveControl(asked, around.control, onSocket(status, certificates, board.control()), logger)
		})
	}
	g.Go(func() error { return watching.serve(asked, around.metrics) })
	g.Go(func() error { return board.run(asked, stop, around, logger) })
	for _, l := range around.admin {
		logger.Info("the control API is served over TCP", "address", l.Addr().String())
		g.Go(func() error { return serveControl(asked, l, admin.ByToken(string(r.AdminToken), status), logger) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	logger.Info("stopped")
	return nil
}

// check looks for settings that contradict each other.
func (r *runCmd) check(inv *invocation) error {
	var named []string
	for _, each := range []struct {
		flag  string
		given bool
	}{{"acme-staging", r.ACMEStaging}, {"acme-directory", r.ACMEDirectory != ""}, {"ca", len(r.CA) > 0}} {
		if each.given {
			named = append(named, inv.where(each.flag))
		}
	}
	if len(named) > 1 {
		return &settingsError{[]string{strings.Join(named[:2], " and ") + ": choose one, both name a CA"}}
	}
	if _, err := r.cas(inv); err != nil {
		return err
	}
	if len(r.Admin) > 0 && r.AdminToken == "" {
		return &settingsError{[]string{inv.where("admin") + ": needs admin-token, so that not everybody can ask; openssl rand -hex 32 makes a good one"}}
	}
	if len(r.HTTP) == 0 && len(r.HTTPS) == 0 {
		return &settingsError{[]string{fmt.Sprintf("%s and %s: both are off, nothing would be served", inv.where("http"), inv.where("https"))}}
	}
	if r.ECH != "" && len(r.HTTPS) == 0 {
		return &settingsError{[]string{fmt.Sprintf("%s: needs https, which is off (%s)", inv.where("ech"), inv.where("https"))}}
	}
	if r.ACMERoots != "" {
		if _, err := os.Stat(r.ACMERoots); err != nil {
			return &settingsError{[]string{fmt.Sprintf("%s: %v", inv.where("acme-roots"), err)}}
		}
	}
	if r.CacheDisk > 0 && r.CacheDisk < cache.MinDisk {
		return &settingsError{[]string{fmt.Sprintf("%s: less than %d MiB are of no use", inv.where("cache-disk"), cache.MinDisk>>20)}}
	}
	return errors.Join(r.checkWatch(inv), r.checkShared(inv), r.checkDashboard(inv))
}

// cacheFolder is where answers are stored that go to disk.
func (r *runCmd) cacheFolder() string {
	return cmp.Or(r.CacheFolder, filepath.Join(r.Storage, "cache"))
}

// discovery is where routes come from.
func (r *runCmd) discovery(engine discovery.Engine, own []discovery.Own, logger *slog.Logger) discovery.Config {
	only, _ := discovery.ParseConstraint(r.Constraint) // see checkShared
	return discovery.Config{
		Engine: engine, Static: r.staticRoutes(), Own: own, Middleware: proxy.Binders, Logger: logger,
		Defaults: label.Values(r.Default), DefaultHost: r.DefaultHost.HostRule, Only: only,
		Places: r.GeoIP != "",
	}
}

// checkShared looks at what is said for all routes, and all containers.
func (r *runCmd) checkShared(inv *invocation) error {
	var lines []string
	where := inv.where("default")
	for _, p := range route.NewParser(proxy.Binders).CheckShared(where, strings.Clone, label.Values(r.Default)) {
		lines = append(lines, p.String())
	}
	if _, err := discovery.ParseConstraint(r.Constraint); err != nil {
		lines = append(lines, fmt.Sprintf("%s: %v", inv.where("constraint"), err))
	}
	if lines != nil {
		return &settingsError{lines}
	}
	return nil
}

// endpoint is the engine to watch, or off.
func (r *runCmd) endpoint(env map[string]string) string {
	return cmp.Or(r.Docker, env["DOCKER_HOST"], dockerSocket)
}

// dial prepares the client, which reads its TLS files: they may be root's.
func (r *runCmd) dial(inv *invocation) (discovery.Engine, error) {
	host := r.endpoint(inv.sources.env)
	if host == off {
		return nil, nil
	}
	engine, err := discovery.Dial(discovery.Endpoint{Host: host, CA: r.DockerCA, Cert: r.DockerCert, Key: r.DockerKey})
	if err != nil {
		where := inv.where("docker")
		if r.Docker == "" && inv.sources.env["DOCKER_HOST"] != "" {
			where = "DOCKER_HOST"
		}
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return engine, nil
}

// giveUpRoot makes the process --user, if it was started as root. It keeps one
// group, the one which may use the engine's socket.
func (r *runCmd) giveUpRoot(inv *invocation, c *cli, logger *slog.Logger) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if c.User == "" {
		logger.Warn("running as root", "fix", "set user: UID:GID, or start Portway as an ordinary user")
		return nil
	}
	id, err := parseIdentity(c.User)
	if err != nil {
		return &settingsError{[]string{inv.where("user") + ": " + err.Error()}}
	}
	if id.uid == 0 {
		logger.Warn("running as root, as --user says")
		return nil
	}
	if err := prepareStorage(r.Storage, id); err != nil {
		logger.Warn(err.Error(), "fix", fmt.Sprintf("make the folder writable for user %d", id.uid))
	}
	if r.CacheDisk > 0 && r.CacheFolder != "" {
		if err := prepareStorage(r.CacheFolder, id); err != nil {
			logger.Warn(err.Error(), "fix", fmt.Sprintf("make the folder %s writable for user %d", r.CacheFolder, id.uid))
		}
	}
	var groups []int
	if gid, ok := socketGroup(r.endpoint(inv.sources.env), logger); ok {
		groups = append(groups, gid)
	}
	if err := dropPrivileges(id, groups); err != nil {
		return fmt.Errorf("cannot give up root: %w; with cap_drop, add cap_add: [SETUID, SETGID], or start as an ordinary user with user: \"%s\"", err, c.User)
	}
	logger.Info("gave up root", "uid", id.uid, "gid", id.gid, "groups", groups)
	return nil
}

// certs is the policy for certificates. Challenges arrive where we listen.
func (r *runCmd) certs(l *proxy.Listeners, cas []certs.CA, solver certs.DNSSolver, logger *slog.Logger) certs.Config {
	cfg := r.authorities(cas)
	cfg.DNS, cfg.KeyType, cfg.ReuseKeys = solver, r.KeyType, r.ReuseKeys
	cfg.Storage, cfg.Limits, cfg.Files = r.Storage, r.ACMELimits.Limits, folderOr(r.Certificates, defaultCerts)
	cfg.Password = string(r.CertPassword)
	cfg.HTTPPort, cfg.TLSPort, cfg.Logger = firstPort(l.HTTP()), firstPort(l.HTTPS()), logger
	if r.Preflight != off {
		cfg.Preflight, cfg.PreflightAll = preflight.New(r.DNSResolvers), r.Preflight == "on"
		if cfg.HTTPPort < 0 {
			cfg.ReachPort = -1
		}
		if cfg.TLSPort < 0 {
			cfg.ReachTLSPort = -1
		}
	}
	return cfg
}

// authorities is the part of it that says which CAs are asked.
func (r *runCmd) authorities(cas []certs.CA) certs.Config {
	cfg := certs.Config{CAs: cas, Use: r.CA, Directory: r.ACMEDirectory, Roots: r.ACMERoots, Email: r.Email, Internal: r.InternalCA}
	if r.ACMEStaging {
		cfg.Use = []string{"letsencrypt-staging"}
	}
	return cfg
}

// firstPort is -1, for a challenge that cannot be used, if nothing listens.
func firstPort(addresses []netip.AddrPort) int {
	if len(addresses) == 0 {
		return -1
	}
	return int(addresses[0].Port())
}

// staticRoutes is the folder of static route files, or none.
func (r *runCmd) staticRoutes() string {
	return folderOr(r.Routes, defaultRoutes)
}

// folderOr is given, or else fallback if there is such a folder.
func folderOr(given, fallback string) string {
	if given != "" {
		return given
	}
	if info, err := os.Stat(fallback); err == nil && info.IsDir() {
		return fallback
	}
	return ""
}
