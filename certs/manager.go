package certs

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"portway/certs/files"
	"portway/certs/localca"
)

// Manager obtains, renews and serves certificates.
type Manager struct {
	log          *slog.Logger
	timing       timing
	storage      storage
	ca           *localca.CA
	files        *files.Folder         // the user's own certificates; nil: none
	authorities  map[string]*authority // all CAs by name
	use          []string              // those that names without a wish are certified by, in order
	preflight    checker               // nil: names are not looked at
	preflightAll bool
	reachPort    int
	reachTLSPort int
	email        string // contact address for CAs; may be empty
	keyType      string // as in Wishes
	prover       prover
	reuseKeys    bool
	magic        *certmagic.Config                             // answers challenges of all authorities
	challenge    func(http.ResponseWriter, *http.Request) bool // answers HTTP-01; nil if nothing does
	cache        *certmagic.Cache                              // which certmagic needs; certificates are in entries
	fresh, again chan struct{}                                 // slots of tries
	asking       chan struct{}                                 // slots of questions about renewals
	loading      chan struct{}                                 // slots of first looks at the storage
	isPublic     func(netip.Addr) bool                         // publicAddress, but in tests

	names  atomic.Pointer[names]
	guests *guests

	mu      sync.Mutex      // held while names change
	list    []Name          // as SetNames was given them
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
	missing backoff       // between looks at a name without an address
}

func defaultTiming() timing {
	return timing{
		backoff: backoff{base: time.Minute, limit: 6 * time.Hour},
		check:   10 * time.Minute,
		try:     15 * time.Minute,
		// With 24 on two processors, the handshakes of other names took 2.8 times as long as
		// else, with 8 up to twice; a CA's own limits are far below what 6 can order.
		fresh:   min(max(6, 3*runtime.GOMAXPROCS(0)), 24),
		again:   8,
		missing: backoff{base: time.Minute, limit: 5 * time.Minute},
	}
}

// New opens the storage and prepares issuers; it speaks to no CA. It fails if
// the storage cannot be written or a file it is told to read is wrong. Run must
// be called, for it ends what New begins.
func New(cfg Config) (*Manager, error) {
	return newManager(cfg, defaultTiming(), nil)
}

// newManager is New with other timing, and other issuers than ACME if issuer is
// not nil. It is given the name of a CA.
func newManager(cfg Config, t timing, issuer func(ca string, _ *zap.Logger) certmagic.Issuer) (*Manager, error) {
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
		asking:  make(chan struct{}, 4),
		loading: make(chan struct{}, 4*runtime.GOMAXPROCS(0)),

		guests:       newGuests(),
		isPublic:     publicAddress,
		preflightAll: cfg.PreflightAll,
		reachPort:    cfg.ReachPort,
		reachTLSPort: cfg.ReachTLSPort,
		prover:       newProver(cfg),
		email:        cfg.Email,
		keyType:      cfg.KeyType,
		reuseKeys:    cfg.ReuseKeys,
	}
	if cfg.Preflight != nil {
		m.preflight = cfg.Preflight
	}
	if cfg.Files != "" {
		m.files = files.Open(cfg.Files, cfg.Password, cfg.Logger)
	}
	m.names.Store(newNames(nil, nil))
	if err := m.useAuthorities(cfg, issuer); err != nil {
		if m.cache != nil {
			m.cache.Stop()
		}
		return nil, &CAError{err}
	}
	return m, nil
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
	if m.files != nil {
		m.workers.Go(func() { _ = m.files.Run(ctx, m.filesChanged) })
	}
	m.mu.Unlock()

	<-ctx.Done()
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	m.workers.Wait()
	m.cache.Stop()
	return nil
}

// SetNames says which names need a certificate from now on. It returns at once;
// names that vanished stop being renewed, and their files stay. Of a name that is
// there twice, the first counts.
func (m *Manager) SetNames(list []Name) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = list
	m.settle()
}

// settle makes m.names what m.list and the user's files ask for. The caller holds
// m.mu.
func (m *Manager) settle() {
	old := m.names.Load()
	wanted := make(map[string]*entry, len(m.list))
	var added []*entry
	var rules []*rule
	for _, n := range withWildcards(m.list) {
		if isRule(n) {
			rules = m.addRule(rules, n)
			continue
		}
		n.OnDemand = OnDemand{}
		name := normalize(n.Name)
		if name == "" || wanted[name] != nil {
			continue
		}
		e := old.get(name)
		if e == nil || e.wishes != n.Wishes || e.rule.Load() != nil || (e.kind == own) != (m.own(name, n.Wishes) != nil) {
			e = m.newEntry(name, n.Wishes)
			added = append(added, e)
		}
		wanted[name] = e
	}
	rules = keepRules(rules, old.rules)
	keepGuests(wanted, old, rules)
	for _, e := range old.all() {
		switch now := wanted[e.name]; now {
		case e:
			continue
		case nil:
			m.log.Debug("The certificate is not needed any more.", "name", e.name)
		default:
			now.inherit(e)
		}
		if e.cancel != nil {
			e.cancel()
		}
	}
	now := newNames(wanted, old)
	now.rules = rules
	arrange(now)
	m.names.Store(now)
	if m.running != nil {
		for _, e := range added {
			m.start(e)
		}
	}
}

func (m *Manager) newEntry(name string, wishes Wishes) *entry {
	if m.own(name, wishes) != nil {
		return newEntry(name, own, wishes, issuerOwn, "")
	}
	chain, err := m.chain(name, wishes)
	k, reason := classify(name, err == nil && len(chain) == 0, m.isPublic)
	if k != internal && err != nil {
		k, reason = refused, sentence(err.Error())
	}
	var ways []way
	if k == public {
		if ways, err = m.prover.ways(name, wishes.Challenge); err != nil {
			k, reason = refused, sentence(err.Error())
		}
	}
	if k == refused {
		m.log.Warn("No certificate can be obtained.", "name", name, "reason", reason)
	}
	issuer := InternalCA
	if k != internal && len(chain) > 0 {
		issuer = chain[0].Name
	}
	e := newEntry(name, k, wishes, issuer, reason)
	e.chain, e.ways = chain, ways
	return e
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
		k := &keeper{Manager: m, entry: e, chain: e.chain}
		m.workers.Go(func() { k.run(ctx) })
	case internal:
		m.workers.Go(func() { m.keepInternal(ctx, e) })
	case refused, own: // nothing to do
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
				*s = statusOf(s.Name, cert)
				s.Issuer, s.NextRenewal = InternalCA, next
			})
		}
		if !e.sleep(ctx, next) {
			return
		}
		if e.force.Swap(false) {
			e.leaf.Drop()
		}
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
	switch {
	case e == nil:
		return Status{Name: host}
	case m.files == nil:
		return e.current()
	default:
		return m.status(e, normalize(host))
	}
}

// Serves tells at next to no cost that there is a certificate for host, be it one that
// has ended. False says nothing: ask Status.
func (m *Manager) Serves(host string) bool {
	e := m.names.Load().exact[host]
	return e != nil && e.status.Load().State == Valid
}

// All tells about every name, sorted.
func (m *Manager) All() []Status {
	entries := m.names.Load().all()
	all := make([]Status, len(entries))
	for i, e := range entries {
		all[i] = m.status(e, e.name)
	}
	return all
}

// Root returns the internal CA's root, which is made at first need.
func (m *Manager) Root() (localca.Root, error) { return m.ca.Root() }

// OtherRoot returns the internal CA's root for names that Root must not certify; ok
// is false while there are none.
func (m *Manager) OtherRoot() (root localca.Root, ok bool, err error) { return m.ca.Other() }
