package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"
)

// bearer tells whether a request has the token (RFC 6750). How long it takes to refuse
// another one tells nothing.
func bearer(r *http.Request, want *[sha256.Size]byte) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(given)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// ByToken lets those ask next who have the token, for places that others can reach too.
// Anybody may ask whether Portway is healthy.
func ByToken(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" && !bearer(r, &want) {
			refuse(w, "portway", "send the admin token: Authorization: Bearer TOKEN")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers who has no token, and ends the connection: content that does not come
// would hold it.
func refuse(w http.ResponseWriter, realm, why string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // not everything can; HTTP/1.1 connections do
	http.Error(w, why, http.StatusUnauthorized)
}
