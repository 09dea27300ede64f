package admin

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
)

// Purge says what the cache is to drop. Exactly one of its fields is given.
type Purge struct {
	URL    string `json:"url,omitempty"`    // one address, with its query
	Prefix string `json:"prefix,omitempty"` // all addresses that begin like this one
	Tag    string `json:"tag,omitempty"`    // answers with that word in Surrogate-Key or Cache-Tag
	All    bool   `json:"all,omitempty"`
}

// Purged tells what a Purge has done.
type Purged struct {
	Dropped int `json:"dropped"` // answers
}

// maxPurge bounds a Purge in JSON.
const maxPurge = 64 << 10

// purger is what drops stored answers, and tells how many there were; nil: there is no
// cache.
type purger func(Purge) (int, error)

var _ http.Handler = purger(nil)

// PurgeByToken answers POST with a Purge in JSON as the control socket does, for whoever
// has the token.
func PurgeByToken(token string, purge func(Purge) (int, error)) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case !bearer(r, &want):
			w.Header().Set("WWW-Authenticate", `Bearer realm="purge"`)
			http.Error(w, "send the purge token: Authorization: Bearer TOKEN", http.StatusUnauthorized)
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "send a purge by POST", http.StatusMethodNotAllowed)
		default:
			purger(purge).ServeHTTP(w, r)
		}
	})
}

// ServeHTTP does what a request says.
func (do purger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if do == nil {
		http.Error(w, "this Portway has no cache", http.StatusNotFound)
		return
	}
	var p Purge
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPurge))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		http.Error(w, "not a purge: "+err.Error(), http.StatusBadRequest)
		return
	}
	n, err := do(p)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, Purged{Dropped: n})
}
