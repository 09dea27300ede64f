package route53

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Credentials are those of an AWS user or role.
type Credentials struct {
	KeyID, Secret string
	Session       string // of temporary ones; else empty
}

// signer signs requests by AWS's Signature Version 4.
type signer struct {
	Credentials
	region, service string
}

const algorithm = "AWS4-HMAC-SHA256"

// sign adds the fields that say who asks. body is that of the request.
func (s signer) sign(r *http.Request, body []byte, at time.Time) {
	stamp := at.UTC().Format("20060102T150405Z")
	day := stamp[:8]
	r.Header.Set("X-Amz-Date", stamp)
	if s.Session != "" {
		r.Header.Set("X-Amz-Security-Token", s.Session)
	}
	fields, names := signedFields(r)
	digest := sha256.Sum256(body)
	canonical := strings.Join([]string{r.Method, path(r.URL), query(r.URL.Query()), fields, names, hex.EncodeToString(digest[:])}, "\n")
	scope := strings.Join([]string{day, s.region, s.service, "aws4_request"}, "/")
	hashed := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{algorithm, stamp, scope, hex.EncodeToString(hashed[:])}, "\n")
	key := []byte("AWS4" + s.Secret)
	for _, part := range []string{day, s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	r.Header.Set("Authorization", algorithm+" Credential="+s.KeyID+"/"+scope+", SignedHeaders="+names+", Signature="+hex.EncodeToString(mac(key, text)))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signedFields are the fields that the signature covers, a line each, and their names.
func signedFields(r *http.Request) (lines, names string) {
	all := map[string]string{"host": r.URL.Host}
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		if lower == "content-type" || strings.HasPrefix(lower, "x-amz-") {
			all[lower] = strings.Join(strings.Fields(strings.Join(values, ",")), " ")
		}
	}
	var sorted []string
	for name := range all {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		lines += name + ":" + all[name] + "\n"
	}
	return lines, strings.Join(sorted, ";")
}

// path is escaped once more than it is sent, as all services but S3 want it.
func path(u *url.URL) string {
	if u.EscapedPath() == "" {
		return "/"
	}
	parts := strings.Split(u.EscapedPath(), "/")
	for i, p := range parts {
		parts[i] = escape(p)
	}
	return strings.Join(parts, "/")
}

func query(q url.Values) string {
	var all []string
	for name, values := range q {
		for _, v := range values {
			all = append(all, escape(name)+"="+escape(v))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "&")
}

// escape is by RFC 3986: a space is %20, and a tilde stays.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
