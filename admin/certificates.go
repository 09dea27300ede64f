package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Certificates is what the commands do with certificates:
//
//	GET  /v1/certificates                 all as a list of CertificateDetails
//	GET  /v1/certificates/{name}          one
//	POST /v1/certificates/{name}/renew    begins to get another one
//	POST /v1/certificates/{name}/revoke   takes a Revocation
//	POST /v1/certificates/{name}/export   answers with an Exported
//	POST /v1/certificates/import          takes an Import, answers with a list of ImportResult
//
// It is a handler of its own because it gives keys away: it belongs on the control
// socket and nowhere else.
type Certificates struct {
	All    func() []CertificateDetails
	Renew  func(name string) error
	Revoke func(ctx context.Context, name string, reason int) error
	Export func(name string) (Exported, error)
	Import func(context.Context, Import) ([]ImportResult, error)
}

// CertificateDetails is all that is known about one name's certificate.
type CertificateDetails struct {
	Certificate
	NotBefore   *time.Time `json:"not_before,omitempty"`
	Serial      string     `json:"serial,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"` // SHA-256
	KeyType     string     `json:"key_type,omitempty"`
	Profile     string     `json:"profile,omitempty"`
}

// Revocation says why a certificate is revoked.
type Revocation struct {
	Reason int `json:"reason"` // RFC 5280 section 5.3.1
}

// Exported is a certificate with its key, in PEM.
type Exported struct {
	Chain string `json:"chain"` // the certificate first
	Key   string `json:"key"`
}

// Import is what another proxy has left.
type Import struct {
	Certificates []Imported        `json:"certificates"`
	Accounts     []ImportedAccount `json:"accounts"`
}

// Imported is a certificate by another proxy.
type Imported struct {
	Exported
	CA     string `json:"ca,omitempty"` // URL of its directory, or host; empty: not known
	Source string `json:"source"`
}

// ImportedAccount is an account at a CA.
type ImportedAccount struct {
	CA     string `json:"ca"`
	Email  string `json:"email,omitempty"`
	Key    string `json:"key"` // in PEM
	Source string `json:"source"`
}

// ImportResult tells what became of one thing that was to be imported.
type ImportResult struct {
	What string `json:"what"`          // names of the certificate, or the account
	Why  string `json:"why,omitempty"` // it was left out; empty: it was taken
}

// maxImport bounds an Import in JSON: some thousand certificates.
const maxImport = 64 << 20

// Handler returns the handler.
func (c Certificates) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/certificates", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.All()) })
	mux.HandleFunc("GET /v1/certificates/{name}", func(w http.ResponseWriter, r *http.Request) {
		for _, d := range c.All() {
			if d.Name == r.PathValue("name") {
				writeJSON(w, d)
				return
			}
		}
		http.Error(w, "no route needs a certificate for "+r.PathValue("name"), http.StatusNotFound)
	})
	mux.HandleFunc("POST /v1/certificates/{name}/renew", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, c.Renew(r.PathValue("name")))
	})
	mux.HandleFunc("POST /v1/certificates/{name}/revoke", func(w http.ResponseWriter, r *http.Request) {
		var why Revocation
		if take(w, r, &why) {
			answer(w, struct{}{}, c.Revoke(r.Context(), r.PathValue("name"), why.Reason))
		}
	})
	mux.HandleFunc("POST /v1/certificates/{name}/export", func(w http.ResponseWriter, r *http.Request) {
		e, err := c.Export(r.PathValue("name"))
		answer(w, e, err)
	})
	mux.HandleFunc("POST /v1/certificates/import", func(w http.ResponseWriter, r *http.Request) {
		var all Import
		if take(w, r, &all) {
			results, err := c.Import(r.Context(), all)
			answer(w, results, err)
		}
	})
	return mux
}

// take reads what r has in JSON, or answers why it cannot.
func take(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxImport))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		http.Error(w, "not understood: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, v)
}
