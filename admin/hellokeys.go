package admin

import (
	"net/http"
	"time"
)

// HelloKeys is what there is to know about Encrypted ClientHello. All of it may be public.
type HelloKeys struct {
	PublicName string     `json:"public_name"` // what the network sees instead of hosts
	ConfigList string     `json:"config_list"` // ECHConfigList, base64
	ID         uint8      `json:"id"`          // of the key in use
	Made       time.Time  `json:"made"`
	Old        []OldKey   `json:"old"`
	Hosts      []HostHint `json:"hosts"`
}

// OldKey is one that is accepted, but not in use any more.
type OldKey struct {
	ID    uint8     `json:"id"`
	Until time.Time `json:"until"`
}

// HostHint is what tells clients of a host about the key in use.
type HostHint struct {
	Host   string `json:"host"`
	Record string `json:"record,omitempty"` // HTTPS record, as in a zone file; empty: the DNS has none for it
}

func (s *Server) helloKeys(rotate bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if s.cfg.HelloKeys == nil {
			http.Error(w, "Encrypted ClientHello is not offered: set ech (--ech, PORTWAY_ECH) to a public name", http.StatusNotFound)
			return
		}
		k, err := s.cfg.HelloKeys(rotate)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, k)
	}
}
