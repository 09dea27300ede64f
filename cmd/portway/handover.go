package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"portway/certs"
	"portway/internal/service"
	"portway/proxy"
)

const (
	controlName    = "control"         // of the control socket, for a successor
	adminName      = "admin"           // of listeners for the control API over TCP
	metricsName    = "metrics"         // of listeners for metrics
	dashboardName  = "dashboard"       // of listeners for the dashboard
	ownRouteName   = "dashboard-route" // of the socket that the dashboard's route leads to
	startTime      = 60 * time.Second  // for a successor to serve
	certTime       = 3 * time.Second   // for stored certificates to be loaded, before we call ourselves ready
	farewellTime   = 2 * time.Second   // for requests over HTTP/3, when a successor waits for its socket
	noticeProblems = "systemd may think that Portway has not started; see NotifyAccess= in its unit"
)

// neighbours are the processes around this one: the service manager, and a
// predecessor or successor.
type neighbours struct {
	inv       *invocation
	logger    *slog.Logger
	inherited *service.Inheritance
	listeners *proxy.Listeners
	control   net.Listener // nil if there is none
	admin     []net.Listener
	metrics   []net.Listener
	dashboard []net.Listener
	ownRoute  net.Listener // that the dashboard's route leads to; nil if there is none

	once   sync.Once     // ready
	accept chan struct{} // closed when connections may be accepted
	busy   sync.Mutex
}

// listen takes the sockets that were inherited and opens those that were not. It
// does the same for the control socket, which the process can do without.
func (n *neighbours) listen(r *runCmd, c *cli) error {
	n.listeners = new(proxy.Listeners)
	for _, s := range n.inherited.Sockets {
		err := n.adopt(s, r)
		_ = s.Close()
		if err != nil {
			n.listeners.Close()
			return err
		}
	}
	if err := n.listeners.Open(r.HTTP, r.HTTPS); err != nil {
		return err
	}
	if r.HTTP3 {
		n.listeners.OpenHTTP3(n.logger)
	}
	var err error
	if n.admin, err = n.open("admin", n.admin, r.Admin); err == nil {
		n.metrics, err = n.open("metrics", n.metrics, r.Metrics.addresses)
	}
	if err == nil {
		n.dashboard, err = n.open("dashboard", n.dashboard, r.Dashboard)
	}
	if err != nil {
		n.listeners.Close()
		return err
	}
	if c.Control == off && n.control != nil {
		_ = n.control.Close()
		n.control = nil
	}
	return nil
}

func (n *neighbours) adopt(s service.File, r *runCmd) (err error) {
	switch {
	case s.Name == controlName:
		n.control, err = adoptUnix(s.File)
		return err
	case s.Name == ownRouteName:
		n.ownRoute, err = adoptUnix(s.File)
		return err
	case n.overTCP()[s.Name] != nil:
		l, err := net.FileListener(s.File)
		if err == nil {
			all := n.overTCP()[s.Name]
			*all = append(*all, l)
		}
		return err
	case s.Name == proxy.KindHTTP3 && !r.HTTP3:
		return nil
	}
	return n.listeners.Adopt(s.Name, s.File)
}

// overTCP are the listeners over TCP besides those of the proxy, by what a successor
// knows them by.
func (n *neighbours) overTCP() map[string]*[]net.Listener {
	return map[string]*[]net.Listener{adminName: &n.admin, metricsName: &n.metrics, dashboardName: &n.dashboard}
}

// adoptUnix takes over a unix socket with the file that it has.
func adoptUnix(f *os.File) (net.Listener, error) {
	l, err := net.FileListener(f)
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(true)
	}
	return l, err
}

// open gives listeners at the addresses that a setting wants: those of them that were
// inherited, and new ones. It closes what is not wanted any more.
func (n *neighbours) open(setting string, inherited []net.Listener, wanted []string) (all []net.Listener, err error) {
	for _, address := range wanted {
		at := func(l net.Listener) bool { return sameListener(address, l.Addr().String()) }
		if i := slices.IndexFunc(inherited, at); i >= 0 {
			all = append(all, inherited[i])
			inherited = slices.Delete(inherited, i, i+1)
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.inv.where(setting), err)
		}
		all = append(all, l)
	}
	for _, l := range inherited {
		_ = l.Close()
	}
	return all, nil
}

// sameListener tells whether a setting means the address of a listener.
func sameListener(setting, address string) bool {
	a, err := net.ResolveTCPAddr("tcp", setting)
	b, err2 := net.ResolveTCPAddr("tcp", address)
	return err == nil && err2 == nil && a.Port == b.Port && (a.IP.Equal(b.IP) || len(a.IP) == 0 && b.IP.IsUnspecified())
}

// openControl opens the control socket, unless it was inherited. Serving matters
// more than being asked about it.
func (n *neighbours) openControl(path string) {
	if path == off || n.control != nil {
		return
	}
	l, err := listenControl(path)
	if err != nil {
		n.logger.Warn("no control socket: healthcheck and trust will not work", "path", path, "error", err,
			"fix", "make its folder writable (in a read-only container: tmpfs), or set control: off")
		return
	}
	n.control = l
}

// ready is called when there is a table. From now on connections are accepted:
// before, clients would be told that their site is not known. A successor waits
// until certificates that are stored are loaded, since its predecessor serves
// meanwhile. The others are told then too.
func (n *neighbours) ready(ctx context.Context, all func() []certs.Status) {
	n.once.Do(func() {
		succeeds := n.inherited.Succeeds()
		if !succeeds {
			close(n.accept)
		}
		go func() {
			limit := time.Now().Add(certTime)
			for pending(all()) && time.Now().Before(limit) && ctx.Err() == nil {
				time.Sleep(10 * time.Millisecond)
			}
			forgetStart()
			if !succeeds {
				n.notify(service.Ready)
				return
			}
			close(n.accept)
			// The predecessor tells the service manager: it would not listen to us yet.
			if err := n.inherited.Ready(); err != nil {
				n.logger.Error("cannot tell the predecessor that we serve", "error", err)
			}
		}()
	})
}

func pending(all []certs.Status) bool {
	for _, s := range all {
		if s.State == certs.Pending {
			return true
		}
	}
	return false
}

func (n *neighbours) notify(notices ...string) {
	if err := service.Notify(n.inv.sources.env["NOTIFY_SOCKET"], notices...); err != nil {
		n.logger.Warn("cannot notify the service manager", "error", err, "effect", noticeProblems)
	}
}

// handOver starts a successor and tells whether it serves now. Then nothing is
// left to do but to finish requests.
func (n *neighbours) handOver(ctx context.Context, server *proxy.Server, endControl func()) bool {
	if !n.busy.TryLock() {
		n.logger.Warn("a successor is being started already")
		return false
	}
	defer n.busy.Unlock()
	successor, err := n.start(ctx)
	if err != nil {
		n.logger.Error("no hand-over: Portway goes on as it is", "error", err)
		return false
	}
	n.logger.Info("a successor serves; finishing requests in flight", "successor", successor.PID)
	n.notify(service.MainPID(successor.PID) + "\n" + service.Ready)
	for _, l := range []net.Listener{n.control, n.ownRoute} {
		if unix, ok := l.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false)
		}
	}
	endControl()
	leave, cancel := context.WithTimeoutCause(ctx, farewellTime, errors.New("a successor takes over HTTP/3"))
	defer cancel()
	server.StepAside(leave)
	successor.Release()
	return true
}

func (n *neighbours) start(ctx context.Context) (*service.Successor, error) {
	if os.Getpid() == 1 {
		return nil, service.ErrContainer
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := service.Command{Path: path, Args: n.inv.args, Environ: n.inv.environ}
	for _, s := range n.listeners.Sockets() {
		c.Sockets = append(c.Sockets, service.Socket{Name: s.Kind, Conn: s.Conn})
	}
	for name, l := range map[string]net.Listener{controlName: n.control, ownRouteName: n.ownRoute} {
		if unix, ok := l.(*net.UnixListener); ok {
			c.Sockets = append(c.Sockets, service.Socket{Name: name, Conn: unix})
		}
	}
	for name, all := range n.overTCP() {
		for _, l := range *all {
			if tcp, ok := l.(*net.TCPListener); ok {
				c.Sockets = append(c.Sockets, service.Socket{Name: name, Conn: tcp})
			}
		}
	}
	n.logger.Info("starting a successor", "program", path)
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("it did not serve within %v", startTime))
	defer cancel()
	return service.Start(ctx, c)
}
