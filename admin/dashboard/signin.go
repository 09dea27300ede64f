package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// visitor is who sends a request.
type visitor struct {
	client string // address
	secure bool   // by HTTPS
}

type visitorKey struct{}

func visitorOf(r *http.Request) visitor {
	v, _ := r.Context().Value(visitorKey{}).(visitor)
	return v
}

// cookieName is another one over HTTPS, where the browser holds the cookie to this host.
func (v visitor) cookieName() string {
	if v.secure {
		return "__Host-portway"
	}
	return "portway"
}

func (v visitor) cookie(value string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name: v.cookieName(), Value: value, Path: "/", MaxAge: seconds,
		Secure: v.secure, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

// session is what a request has; empty: none that is good.
func (d *Dashboard) session(r *http.Request) string {
	c, err := r.Cookie(visitorOf(r).cookieName())
	if err != nil || !d.account.valid(c.Value) {
		return ""
	}
	return c.Value
}

// signedIn lets those through who have signed in; others can do so.
func (d *Dashboard) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch session := d.session(r); {
		case session != "":
			next.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead, r.URL.Path == "/live", r.Header.Get("Sec-Fetch-Dest") == "empty":
			http.Error(w, "sign in first", http.StatusUnauthorized)
		case r.Header.Get("Sec-Fetch-Site") == "cross-site":
			// A link on another site led here, so that the browser keeps the cookie back.
			// From this page to itself it does not.
			d.render(w, r, "again", page{Title: "One moment", Data: here(r.URL.RequestURI())})
		default:
			to := "/sign-in"
			if r.URL.RequestURI() != "/" {
				to += "?next=" + url.QueryEscape(r.URL.RequestURI())
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
		}
	})
}

// signInForm is what the sign-in page shows.
type signInForm struct {
	Next  string
	Token string // of a link; empty: a password is wanted
	Wrong string
}

func (d *Dashboard) showSignIn(w http.ResponseWriter, r *http.Request) {
	f := signInForm{Next: here(r.URL.Query().Get("next")), Token: r.URL.Query().Get("token")}
	if f.Token == "" && d.session(r) != "" {
		http.Redirect(w, r, f.Next, http.StatusSeeOther)
		return
	}
	d.render(w, r, "sign-in", page{Title: "Sign in", Data: f})
}

// here is a page of the dashboard, whatever is asked for.
func here(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(next, "/") ||
		len(next) > 1 && (next[1] == '/' || next[1] == '\\') || strings.ContainsAny(next, "\r\n\t") || u.Path == "/sign-in" {
		return "/"
	}
	return next
}

func (d *Dashboard) signIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form did not arrive", http.StatusBadRequest)
		return
	}
	v, f := visitorOf(r), signInForm{Next: here(r.PostForm.Get("next"))}
	if token := r.PostForm.Get("token"); token != "" {
		if !d.links.use(token, time.Now()) {
			f.Wrong = "This link has been used, or is too old. Get another one: portway dashboard"
			d.cfg.Logger.Warn("dashboard: a link that does not work any more", "client", v.client)
			d.refuse(w, r, http.StatusForbidden, f)
			return
		}
		d.begin(w, r, f.Next, "link")
		return
	}
	good, done, wait := d.tries.take(v.client, time.Now())
	if wait > 0 {
		seconds := int(wait/time.Second) + 1
		w.Header().Set("Retry-After", fmt.Sprint(seconds))
		f.Wrong = fmt.Sprintf("Too many tries. Come back in %d seconds, or get a link: portway dashboard", seconds)
		d.refuse(w, r, http.StatusTooManyRequests, f)
		return
	}
	defer done()
	if !d.account.check(strings.TrimSpace(r.PostForm.Get("password"))) {
		d.cfg.Logger.Warn("dashboard: wrong password", "client", v.client)
		f.Wrong = "This is not the password. A new one: portway dashboard --new-password"
		d.refuse(w, r, http.StatusForbidden, f)
		return
	}
	good()
	d.begin(w, r, f.Next, "password")
}

func (d *Dashboard) refuse(w http.ResponseWriter, r *http.Request, status int, f signInForm) {
	d.renderStatus(w, r, status, "sign-in", page{Title: "Sign in", Data: f})
}

func (d *Dashboard) begin(w http.ResponseWriter, r *http.Request, next, by string) {
	v := visitorOf(r)
	d.cfg.Logger.Info("dashboard: signed in", "client", v.client, "by", by)
	http.SetCookie(w, v.cookie(d.account.begin(), int(sessionTime/time.Second)))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (d *Dashboard) signOut(w http.ResponseWriter, r *http.Request) {
	v := visitorOf(r)
	if session := d.session(r); session != "" {
		if err := d.account.end(session); err != nil {
			d.cfg.Logger.Error("dashboard: a session could not be ended for good", "error", err, "fix", "see that the storage folder can be written")
		}
	}
	http.SetCookie(w, v.cookie("", -1))
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// SignIn is what the command gets to sign somebody in.
type SignIn struct {
	Links    []string `json:"links"`              // one for each address; they work once, all together
	Minutes  int      `json:"minutes"`            // that they work for
	Password string   `json:"password,omitempty"` // a new one
}

// Control is what the command asks:
//
//	POST /v1/dashboard/link      answers with a SignIn
//	POST /v1/dashboard/password  makes a new password, which ends all sessions
//
// It belongs on the control socket and nowhere else.
func (d *Dashboard) Control() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, s SignIn) {
		token := d.links.add(time.Now())
		s.Links, s.Minutes = []string{}, int(linkTime/time.Minute)
		if d.cfg.Links != nil {
			for _, base := range d.cfg.Links() {
				s.Links = append(s.Links, base+"/sign-in?token="+token)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s) // the client has gone: nobody is left to be told
	}
	mux.HandleFunc("POST /v1/dashboard/link", func(w http.ResponseWriter, _ *http.Request) { answer(w, SignIn{}) })
	mux.HandleFunc("POST /v1/dashboard/password", func(w http.ResponseWriter, _ *http.Request) {
		password, err := d.account.newPassword()
		if err != nil {
			http.Error(w, "the new password cannot be stored, so the old one stays: "+err.Error(), http.StatusInternalServerError)
			return
		}
		d.links.clear()
		d.cfg.Logger.Info("dashboard: there is a new password; all sessions have ended")
		answer(w, SignIn{Password: password})
	})
	return mux
}
