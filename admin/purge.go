package admin

import (
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

func (s *Server) purge(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Purge == nil {
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
	n, err := s.cfg.Purge(p)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, Purged{Dropped: n})
}
