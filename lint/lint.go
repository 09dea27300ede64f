// Package lint tells, without an engine, what is wrong with Portway's labels in
// compose files. It asks those who would be asked when the services run: compose-go
// reads the files, discovery reads the containers that would come of them, and so
// what lint says is what the running Portway would say.
package lint

import (
	"context"
	"time"

	"portway/discovery"
	"portway/label"
	"portway/route"
)

// Config is what to look at, and what Portway is told.
type Config struct {
	// Paths are compose files, or folders with one. Files of one folder are one
	// project, the later ones overriding the earlier; other folders are other projects
	// on the same engine. None: the working directory.
	Paths    []string
	Profiles []string          // whose services are looked at; empty: those of all
	Env      map[string]string // for variables in files, before those of .env

	Middleware func() []label.Binder // as in discovery.Config
	Networks   []string              // that Portway is on, where no service is Portway
	Routes     string                // folder of static routes, if no service says

	// Settings reads what a service that is Portway is started with. Each complaint
	// begins with the variable that it is about.
	Settings func(args []string, env map[string]string) (Settings, []string)
}

// Settings are those of Portway that change what labels mean.
type Settings struct {
	Defaults    label.Values
	DefaultHost discovery.HostRule
	Only        discovery.Constraint
	Places      bool
	Routes      string // folder of static routes in the container; empty: none
	Storage     string // folder of certificates in the container

	TrustsAll bool // X-Forwarded-For is believed whoever sends it
	InFront   bool // other proxies are known to be in front, and are told apart from clients
}

// Level is how much a Finding matters.
type Level string

// The levels of findings.
const (
	Error   Level = "error"   // it does not work
	Warning Level = "warning" // it works, but hardly as it was meant
	Note    Level = "note"    // what cannot be known from files
)

// Finding is one thing to tell.
type Finding struct {
	Level   Level  `json:"level"`
	Rule    string `json:"rule"` // its kind, see rules
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"` // from 1; 0 if it is not known
	Column  int    `json:"column,omitempty"`
	Service string `json:"service,omitempty"`
	Label   string `json:"label,omitempty"`
	Why     string `json:"why"`
	Fix     string `json:"fix,omitempty"`
}

// Report is all that was found.
type Report struct {
	Findings []Finding `json:"findings"`
	Services int       `json:"services"` // that were looked at
	Routes   int       `json:"routes"`   // that would be served
}

// Clean tells whether there is nothing to do.
func (r Report) Clean() bool {
	for _, f := range r.Findings {
		if f.Level != Note {
			return false
		}
	}
	return true
}

// patience bounds how long discovery may take to read what is in memory.
const patience = time.Minute

// Run looks at compose files. An error means that there was nothing to look at; files
// that do not load are a finding.
func Run(ctx context.Context, cfg Config) (Report, error) {
	l := &linter{cfg: cfg, report: Report{Findings: []Finding{}}}
	if err := l.load(ctx); err != nil {
		return Report{}, err
	}
	l.configure()
	l.lookAtSources()
	l.resolvePaths()
	table, err := l.discover(ctx)
	if err != nil {
		return Report{}, err
	}
	l.lookAtProblems(table)
	l.lookAtPorts(table)
	l.lookAtProtection(table)
	l.lookAtAuthServices(table)
	l.report.Services, l.report.Routes = len(l.services), len(table.Routes())
	l.sort()
	return l.report, nil
}

// linter is one run.
type linter struct {
	cfg      Config
	projects []*project
	services []*service // of all projects, in the order of files
	portway  *service   // nil if no service is Portway
	settings Settings
	static   string          // folder of static routes on this machine
	later    map[string]bool // labels whose values cannot be read here, by laterKey
	report   Report
}

// discover gives the table that would be served.
func (l *linter) discover(ctx context.Context) (*route.Table, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	engine := newEngine(l)
	var table *route.Table
	err := discovery.Watch(ctx, discovery.Config{
		Engine: engine, Self: engine.self, Static: l.static, Middleware: l.cfg.Middleware,
		Defaults: l.settings.Defaults, DefaultHost: l.settings.DefaultHost, Only: l.settings.Only, Places: l.settings.Places,
		MaxDelay: patience,
	}, func(t *route.Table) {
		if table == nil {
			table = t
		}
		cancel()
	})
	if table == nil && err == nil {
		err = ctx.Err()
	}
	return table, err
}
