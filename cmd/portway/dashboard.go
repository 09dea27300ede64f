package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"gopkg.in/yaml.v3"

	"portway/admin/dashboard"
	"portway/discovery"
	"portway/label"
	"portway/proxy"
)

// dashboardPath is what the control socket has for the command.
const dashboardPath = "/v1/dashboard"

// dashboardSetting is what the dashboard's route comes from, as people are told.
const dashboardSetting = "setting dashboard-host"

// dashboardCmd is "portway dashboard".
type dashboardCmd struct {
	NewPassword bool `help:"Make a new password too. It ends all sessions."`
}

// Run asks the running Portway.
func (x dashboardCmd) Run(c *cli) error {
	if err := c.becomeUser(); err != nil {
		return err
	}
	path := dashboardPath + "/link"
	if x.NewPassword {
		path = dashboardPath + "/password"
	}
	status, body, err := tell(c.Control, path, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	var s dashboard.SignIn
	if err := json.Unmarshal(body, &s); err != nil {
		return err
	}
	if s.Password != "" {
		fmt.Printf("The new password: %s\n\n", s.Password)
	}
	fmt.Printf("This link signs you in once, within %d minutes:\n\n", s.Minutes)
	for _, l := range s.Links {
		fmt.Println("\t" + l)
	}
	return nil
}

// board is the dashboard of a running Portway; its Dashboard is nil where there is none.
type board struct {
	*dashboard.Dashboard
	own []discovery.Own
	why string // there is none
}

// dashboard makes it, and opens the socket that its route leads to. Serving matters more
// than being looked at: what goes wrong here is logged, and told by the command.
func (r *runCmd) dashboard(cfg dashboard.Config, around *neighbours, control string, notKept *slog.Logger) *board {
	b := &board{why: "start Portway with --dashboard=127.0.0.1:8420, or with --dashboard-host and a host"}
	if len(r.DashboardHost) == 0 && around.ownRoute != nil {
		_ = around.ownRoute.Close()
		around.ownRoute = nil
	}
	if !r.hasDashboard() {
		return b
	}
	cfg.Version, cfg.Folder, cfg.Hosts = versionString(), filepath.Join(r.Storage, "dashboard"), r.DashboardHost
	cfg.Links = func() []string { return r.dashboardLinks(around) }
	cfg.FirstPassword = func(password string) {
		notKept.Info("the dashboard has this password; it is not told again", "password", password, "lost", "portway dashboard --new-password")
	}
	made, err := dashboard.New(cfg)
	if err != nil {
		b.why = err.Error()
		cfg.Logger.Error("there is no dashboard", "error", err, "fix", "make the storage folder writable, and start Portway anew")
		return b
	}
	b.Dashboard = made
	if len(r.DashboardHost) > 0 {
		if b.own, err = r.openDashboardRoute(around, control); err != nil {
			cfg.Logger.Error("the dashboard has no route", "hosts", r.DashboardHost, "error", err,
				"fix", "make the folder of its socket writable (in a read-only container: tmpfs), and start Portway anew")
		}
	}
	return b
}

// openDashboardRoute opens the socket that the dashboard's route leads to: beside that
// for the commands, if there is one.
func (r *runCmd) openDashboardRoute(around *neighbours, control string) ([]discovery.Own, error) {
	path := filepath.Join(r.Storage, "dashboard", "route.sock")
	if control != off {
		path = filepath.Join(filepath.Dir(control), "dashboard.sock")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if around.ownRoute == nil {
		if around.ownRoute, err = listenControl(path); err != nil {
			return nil, err
		}
	}
	return r.dashboardRoute(path)
}

func (r *runCmd) hasDashboard() bool { return len(r.Dashboard) > 0 || len(r.DashboardHost) > 0 }

// acquainted are those whom the dashboard knows; it is set before anything is served, and
// nil if it could not be made.
type acquainted struct{ *dashboard.Dashboard }

var _ proxy.Owners = (*acquainted)(nil)

// Owner is part of proxy.Owners.
func (k *acquainted) Owner(host string, cookies []*http.Cookie) (at string, ok bool) {
	if k.Dashboard == nil {
		return "", false
	}
	return k.Dashboard.Owner(host, cookies)
}

// Explain is part of proxy.Owners.
func (k *acquainted) Explain(at, method, url string) string {
	if k.Dashboard == nil {
		return ""
	}
	return k.Dashboard.Explain(at, method, url)
}

// ServeHTTP gives a browser its cookie.
func (k *acquainted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if k.Dashboard == nil {
		http.NotFound(w, r)
		return
	}
	k.Welcome().ServeHTTP(w, r)
}

// owners has error pages tell those who have signed in to the dashboard what they tell
// clients on this machine, if they are to tell anything.
func (r *runCmd) owners(serving *proxy.Config) *acquainted {
	k := &acquainted{}
	if !r.hasDashboard() || !r.OwnerPages {
		return k
	}
	serving.Owners = k
	if serving.Secure == nil {
		serving.Secure = make(map[string]http.Handler)
	}
	serving.Secure[dashboard.OwnerPath] = k
	return k
}

// dashboardRoute is the route as a static file says it.
func (r *runCmd) dashboardRoute(socket string) ([]discovery.Own, error) {
	options := map[string]string{}
	for name, value := range label.Values(r.DashboardOption) {
		options[name] = value
	}
	options["host"], options["to"] = strings.Join(r.DashboardHost, ","), "unix:"+socket
	text, err := yaml.Marshal(map[string]map[string]string{"dashboard": options})
	return []discovery.Own{{Name: dashboardSetting, Text: text}}, err
}

// checkDashboard looks for settings that cannot be.
func (r *runCmd) checkDashboard(inv *invocation) error {
	if len(r.DashboardOption) > 0 && len(r.DashboardHost) == 0 {
		return &settingsError{[]string{inv.where("dashboard-option") + ": needs dashboard-host, the route that it is for"}}
	}
	for _, name := range []string{"host", "to"} {
		if _, there := r.DashboardOption[name]; there {
			return &settingsError{[]string{inv.where("dashboard-option") + ": " + name + " cannot be chosen here; the host is said by dashboard-host"}}
		}
	}
	own, err := r.dashboardRoute("/run/portway/dashboard.sock")
	if err != nil || len(r.DashboardHost) == 0 {
		return err
	}
	cfg := r.discovery(nil, own, nil)
	var lines []string
	for _, p := range cfg.CheckOwn() {
		lines = append(lines, p.String())
	}
	if lines != nil {
		return &settingsError{lines}
	}
	return nil
}

// dashboardLinks are the addresses of the dashboard, the best one first.
func (r *runCmd) dashboardLinks(around *neighbours) []string {
	var all []string
	for _, h := range r.DashboardHost {
		link := "https://" + h
		if port := r.publicPort(around); port != 443 {
			link += ":" + strconv.Itoa(port)
		}
		if r.DashboardOption["https"] == "off" {
			link = "http://" + h
		}
		all = append(all, link)
	}
	for _, l := range around.dashboard {
		address := l.Addr().String()
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
			address = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
		}
		all = append(all, "http://"+address)
	}
	return all
}

// publicPort is where clients reach HTTPS.
func (r *runCmd) publicPort(around *neighbours) int {
	if r.HTTPSPort > 0 {
		return int(r.HTTPSPort)
	}
	if port := firstPort(around.listeners.HTTPS()); port > 0 {
		return port
	}
	return 443
}

// routes are those of the dashboard.
func (b *board) routes() []discovery.Own { return b.own }

// control is what the command asks.
func (b *board) control() http.Handler {
	if b.Dashboard == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "this Portway has no dashboard: "+b.why, http.StatusNotFound)
		})
	}
	return b.Control()
}

// run serves the dashboard until ctx is done, but for streams of news: those end with
// live, since the proxy would wait for them when it drains.
func (b *board) run(ctx, live context.Context, around *neighbours, logger *slog.Logger) error {
	if b.Dashboard == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.Run(live) })
	for _, l := range around.dashboard {
		logger.Info("the dashboard is served", "address", "http://"+l.Addr().String())
		g.Go(func() error { return serveControl(ctx, l, b.Direct(), logger) })
	}
	if around.ownRoute != nil {
		g.Go(func() error { return serveControl(ctx, around.ownRoute, b.Relayed(), logger) })
	}
	return g.Wait()
}

// traffic gives the dashboard what metrics count; nil: they are off.
func (w *watchers) traffic() func() []dashboard.Traffic {
	if w.metrics == nil {
		return nil
	}
	return func() []dashboard.Traffic {
		all := w.metrics.Snapshot()
		list := make([]dashboard.Traffic, len(all))
		for i, c := range all {
			list[i] = dashboard.Traffic{Route: c.Route, Requests: c.Requests, Failed: c.Failed, Sent: c.Sent, Received: c.Received}
			for _, b := range c.Durations {
				list[i].Buckets = append(list[i].Buckets, dashboard.Bucket(b))
			}
		}
		return list
	}
}
