package dashboard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"portway/admin"
)

// Who has signed in may have error pages of other hosts say why, too: a link leads from
// here to OwnerPath at such a host, which gives the browser a cookie for that host alone.
// Link and cookie are marks: the session that they come from, when they end, the address
// of the dashboard, and an HMAC over all that and the host.

// OwnerPath is where sites take the link: see Welcome.
const OwnerPath = "/.well-known/portway/owner"

// ownerCookie is taken from that very host only, and by HTTPS only (its prefix).
const ownerCookie = "__Host-portway-owner"

const (
	ownerLinkTime = time.Minute // of a link, which works once
	ownerTime     = 12 * time.Hour
)

// kinds of marks, so that none can stand for another, nor for a session.
const (
	linkMark   = "owner's link"
	cookieMark = "owner's cookie"
)

const (
	markHead  = 8 + 8 + sessionID + markNonce // before the dashboard's address
	markNonce = 8
	maxMark   = 1024
)

// ownerMark says that its bearer is the owner.
type ownerMark struct {
	until   int64
	ends    int64  // when the session does, which it cannot outlast
	session string // its number, in base64
	at      string // address of the dashboard, without a path
}

// newMark makes a mark for host.
func (a *account) newMark(kind, host string, m ownerMark) string {
	id, _ := base64.RawURLEncoding.DecodeString(m.session) // ours
	raw := make([]byte, markHead, markHead+len(m.at)+sha256.Size)
	binary.BigEndian.PutUint64(raw, uint64(min(m.until, m.ends)))
	binary.BigEndian.PutUint64(raw[8:], uint64(m.ends))
	copy(raw[16:16+sessionID], id)
	_, _ = rand.Read(raw[16+sessionID:]) // never fails
	raw = append(raw, m.at...)
	return base64.RawURLEncoding.EncodeToString(append(raw, a.signMark(kind, host, raw)...))
}

func (a *account) signMark(kind, host string, raw []byte) []byte {
	return a.sign([]byte(kind + "\x00" + host + "\x00" + string(raw)))
}

// readMark tells whether a mark is of that kind, for that host, and holds: its session
// has not been signed out of.
func (a *account) readMark(kind, host, text string) (m ownerMark, ok bool) {
	if len(text) > maxMark {
		return m, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < markHead+sha256.Size {
		return m, false
	}
	body, sum := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	if !hmac.Equal(sum, a.signMark(kind, host, body)) {
		return m, false
	}
	m = ownerMark{
		until: int64(binary.BigEndian.Uint64(body)), ends: int64(binary.BigEndian.Uint64(body[8:])),
		session: base64.RawURLEncoding.EncodeToString(body[16 : 16+sessionID]), at: string(body[markHead:]),
	}
	a.mu.RLock()
	_, ended := a.stored.Ended[m.session]
	a.mu.RUnlock()
	return m, !ended && a.now().Unix() < m.until
}

// used are links that have been followed, for as long as they would last. Only those
// that were made here get in, so strangers cannot fill it.
type used struct {
	mu  sync.Mutex
	all map[string]int64
}

// first tells whether a link is followed for the first time.
func (u *used) first(link string, until, now int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, there := u.all[link]; there {
		return false
	}
	next := map[string]int64{link: until}
	for other, until := range u.all {
		if now < until {
			next[other] = until
		}
	}
	u.all = next
	return true
}

// reasonsURL is where a page of the dashboard links to for error pages at the host of an
// explained request; empty: there is no such site, or none by HTTPS, which the cookie needs.
func reasonsURL(t *admin.Trace) string {
	if t == nil || t.FoundBy == "" || !strings.HasPrefix(t.URL, "https://") {
		return ""
	}
	return "/reasons?q=" + url.QueryEscape(t.URL)
}

// reasons sends the browser to a site with a link for its host. It does so for hosts
// that have routes here, so that nobody is sent elsewhere.
func (d *Dashboard) reasons(w http.ResponseWriter, r *http.Request) {
	x, err := d.cfg.Admin.Explain(admin.Question{What: r.URL.Query().Get("q"), Method: http.MethodGet})
	if err != nil || reasonsURL(x.Request) == "" {
		http.Error(w, "no route has this host by HTTPS", http.StatusNotFound)
		return
	}
	to, err := url.Parse(x.Request.URL)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	session, ends, _ := d.account.parse(d.session(r)) // checked by signedIn
	at := "http://"
	if visitorOf(r).secure {
		at = "https://"
	}
	link := d.account.newMark(linkMark, siteOf(to.Host), ownerMark{
		until: d.account.now().Add(ownerLinkTime).Unix(), ends: ends, session: session, at: at + r.Host,
	})
	q := url.Values{"token": {link}, "to": {to.RequestURI()}}
	http.Redirect(w, r, (&url.URL{Scheme: "https", Host: to.Host, Path: OwnerPath, RawQuery: q.Encode()}).String(), http.StatusSeeOther)
}

// siteOf is a host as marks have it: in lower case, without port and last dot.
func siteOf(host string) string { return strings.TrimSuffix(strings.ToLower(hostname(host)), ".") }

// Welcome takes links, at OwnerPath of any host.
func (d *Dashboard) Welcome() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Robots-Tag", "noindex")
		host, token := siteOf(r.Host), r.URL.Query().Get("token")
		now := d.account.now()
		m, ok := d.account.readMark(linkMark, host, token)
		if r.Method != http.MethodGet || !ok || !d.followed.first(token, m.until, now.Unix()) {
			http.Error(w, "This link does not work here, or not any more. The dashboard's page Explain has another one.", http.StatusForbidden)
			return
		}
		m.until = now.Add(ownerTime).Unix()
		http.SetCookie(w, &http.Cookie{
			Name: ownerCookie, Value: d.account.newMark(cookieMark, host, m), Path: "/", MaxAge: int(ownerTime / time.Second),
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
		http.Redirect(w, r, here(r.URL.Query().Get("to")), http.StatusSeeOther)
	})
}

// Owner tells whether a request to host comes from somebody who has signed in, by its
// cookies, and where his dashboard is.
func (d *Dashboard) Owner(host string, cookies []*http.Cookie) (at string, ok bool) {
	for _, c := range cookies {
		if c.Name == ownerCookie {
			m, ok := d.account.readMark(cookieMark, host, c.Value)
			return m.at, ok
		}
	}
	return "", false
}

// Explain is the page that explains a request, on the dashboard at an address; empty: the
// best that is known.
func (d *Dashboard) Explain(at, method, address string) string {
	if at == "" && d.cfg.Links != nil {
		if all := d.cfg.Links(); len(all) > 0 {
			at = all[0]
		}
	}
	if at == "" {
		return ""
	}
	link := at + "/explain?q=" + url.QueryEscape(address)
	if method != http.MethodGet {
		link += "&method=" + url.QueryEscape(method)
	}
	return link
}
