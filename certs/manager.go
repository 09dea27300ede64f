package certs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"portway/certs/localca"
)

// Manager obtains, renews and serves certificates.
type Manager struct {
	log          *slog.Logger
	timing       timing
	storage      storage
	ca           *localca.CA
	authority    *authority                                    // nil if every name is internal
	challenge    func(http.ResponseWriter, *http.Request) bool // answers HTTP-01; nil if nothing does
	cache        *certmagic.Cache                              // what authority obtained
	fresh, again chan struct{}                                 // slots of tries

	names atomic.Pointer[names]

	mu      sync.Mutex      // held while names change
	running context.Context // of Run; nil before
	ended   bool            // nothing is started any more
	workers sync.WaitGroup  // goroutines of entries
}

// timing is how fast things go. Tests have their own.
type timing struct {
	backoff backoff
	check   time.Duration // how often a certificate is looked at for renewal
	try     time.Duration // the longest that one try takes
	fresh   int           // first tries at once
	again   int           // tries after failures at once, which so never delay first ones
}

func defaultTiming() timing {
	return timing{
		backoff: backoff{base: time.Minute, limit: 6 * time.Hour},
		check:   10 * time.Minute,
		try:     15 * time.Minute,
		fresh:   24,
		again:   8,
	}
}

// New opens the storage and prepares issuers; it speaks to no CA. It fails if
// the storage cannot be written or a file it is told to read is wrong. Run must
// be called, for it ends what New begins.
func New(cfg Config) (*Manager, error) {
	return newManager(cfg, defaultTiming(), nil)
}

// newManager is New with other timing, and another issuer than ACME if it is
// not nil.
func newManager(cfg Config, t timing, issuer func(*zap.Logger) certmagic.Issuer) (*Manager, error) {
	store, err := openStorage(cfg.Storage)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		log:     cfg.Logger,
		timing:  t,
		storage: store,
		ca:      localca.New(localca.Config{Folder: filepath.Join(store.Path, "internal-ca"), Unbounded: cfg.Internal, Logger: cfg.Logger}),
		fresh:   make(chan struct{}, t.fresh),
		again:   make(chan struct{}, t.again),
	}
	m.names.Store(newNames(nil, nil))
	if cfg.Internal {
		return m, nil
	}
	if err := m.useAuthority(cfg, issuer); err != nil {
		if m.cache != nil {
			m.cache.Stop()
		}
		return nil, err
	}
	return m, nil
}

func (m *Manager) useAuthority(cfg Config, issuer func(*zap.Logger) certmagic.Issuer) error {
	directory, err := parseDirectory(cmp.Or(cfg.Directory, certmagic.LetsEncryptProductionCA))
	if err != nil {
		return err
	}
	logger := newLogger(m.log, nil)
	// certmagic's cache would renew by its own schedule, which is not ours: ours
	// outlasts restarts and is visible in Status. It leaves certificates alone
	// whose Config has OnDemand.
	var idle atomic.Pointer[certmagic.Config]
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return idle.Load(), nil },
		RenewCheckInterval: m.timing.check,
		Logger:             logger,
	})
	settings := certmagic.Config{
		Storage: m.storage,
		Logger:  logger,
		// Let's Encrypt has no OCSP any more; elsewhere a slow responder would
		// delay the start.
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	}
	magic := certmagic.New(m.cache, settings)
	settings.OnDemand = &certmagic.OnDemandConfig{
		DecisionFunc: func(context.Context, string) error { return errors.New("not on demand") },
	}
	idle.Store(certmagic.New(m.cache, settings))

	if issuer == nil {
		template, err := newACME(cfg, directory.String(), magic)
		if err != nil {
			return err
		}
		m.challenge = template.HandleHTTPChallenge
		issuer = func(log *zap.Logger) certmagic.Issuer {
			one := *template
			one.Logger = log
			return &one
		}
	}
	first := issuer(logger)
	magic.Issuers = []certmagic.Issuer{first}
	m.authority = &authority{
		magic:     magic,
		host:      directory.Host,
		directory: directory.String(),
		ledger:    ledger{storage: m.storage, issuer: first.IssuerKey()},
		issuer:    issuer,
	}
	return nil
}

// Run does the work until ctx is done. It may be called once.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	if m.running != nil {
		m.mu.Unlock()
		return errors.New("certs: Run was called before")
	}
	m.running = ctx
	for _, e := range m.names.Load().all() {
		m.start(e)
	}
	m.mu.Unlock()

	<-ctx.Done()
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	m.workers.Wait()
	if m.cache != nil {
		m.cache.Stop()
	}
	return nil
}

// SetNames says which names need a certificate from now on. It returns at once;
// names that vanished stop being renewed, and their files stay. Of a name that is
// there twice, the first counts.
func (m *Manager) SetNames(list []Name) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.names.Load()
	wanted := make(map[string]*entry, len(list))
	var added []*entry
	for _, n := range list {
		name := normalize(n.Name)
		if name == "" || wanted[name] != nil {
			continue
		}
		e := old.get(name)
		if e == nil || e.wishes != n.Wishes {
			e = m.newEntry(name, n.Wishes)
			added = append(added, e)
		}
		wanted[name] = e
	}
	var gone []certmagic.SubjectIssuer
	for _, e := range old.all() {
		if wanted[e.name] == e {
			continue
		}
		m.log.Debug("The certificate is not needed any more.", "name", e.name)
		gone = append(gone, certmagic.SubjectIssuer{Subject: e.name})
		if e.cancel != nil {
			e.cancel()
		}
	}
	m.names.Store(newNames(wanted, old))
	if m.cache != nil {
		m.cache.RemoveManaged(gone)
	}
	if m.running != nil {
		for _, e := range added {
			m.start(e)
		}
	}
}

func (m *Manager) newEntry(name string, wishes Wishes) *entry {
	k, reason := classify(name, m.authority == nil)
	if k == refused {
		m.log.Warn("No certificate can be obtained.", "name", name, "reason", reason)
	}
	issuer := "internal"
	if k != internal {
		issuer = m.authority.host
	}
	return newEntry(name, k, wishes, issuer, reason)
}

// start begins to look after e. The caller holds m.mu.
func (m *Manager) start(e *entry) {
	if m.ended {
		return
	}
	var ctx context.Context
	ctx, e.cancel = context.WithCancel(m.running)
	switch e.kind {
	case public:
		k := &keeper{Manager: m, authority: m.authority, entry: e}
		m.workers.Go(func() { k.run(ctx) })
	case internal:
		m.workers.Go(func() { m.keepInternal(ctx, e) })
	case refused: // nothing to do
	}
}

// keepInternal makes the certificate of e, and a new one in time.
func (m *Manager) keepInternal(ctx context.Context, e *entry) {
	for {
		var next time.Time
		if cert, err := m.ca.Certify(&e.leaf, e.name); err != nil { // ca has logged it
			next = time.Now().Add(m.timing.backoff.base)
			e.update(func(s *Status) {
				s.LastError, s.NextTry, s.Attempts = capital(err.Error()), next, s.Attempts+1
				if s.NotAfter.IsZero() {
					s.State = Failed
				}
			})
		} else {
			next = localca.RenewalTime(cert.Leaf)
			e.update(func(s *Status) {
				*s = Status{Name: s.Name, Issuer: s.Issuer, State: Valid, NotAfter: cert.Leaf.NotAfter}
			})
		}
		if !sleepUntil(ctx, next) {
			return
		}
	}
}

// sleepUntil tells whether it slept to the end.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Status tells about one host (which may fall under a wildcard name). It is
// cheap enough for each request.
func (m *Manager) Status(host string) Status {
	names := m.names.Load()
	e := names.exact[host] // mostly it is normal already, and to find that out costs more
	if e == nil {
		e = names.find(normalize(host))
	}
	if e != nil {
		return e.current()
	}
	return Status{Name: host}
}

// All tells about every name, sorted.
func (m *Manager) All() []Status {
	entries := m.names.Load().all()
	all := make([]Status, len(entries))
	for i, e := range entries {
		all[i] = e.current()
	}
	return all
}

// Root returns the internal CA's root, which is made at first need.
func (m *Manager) Root() (localca.Root, error) { return m.ca.Root() }

// OtherRoot returns the internal CA's root for names that Root must not certify; ok
// is false while there are none.
func (m *Manager) OtherRoot() (root localca.Root, ok bool, err error) { return m.ca.Other() }
