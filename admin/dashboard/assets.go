package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed assets templates
var files embed.FS

// asset is a file that pages load.
type asset struct {
	text []byte
	etag string
	kind string
}

func newAsset(name string, text []byte) asset {
	sum := sha256.Sum256(text)
	kind := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".js" {
		kind = "text/javascript; charset=utf-8" // whatever the system's table says
	}
	return asset{text, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, kind}
}

// ServeHTTP serves one, or tells that the browser's is still good.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, ok := a[path.Base(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // it is asked whether it is still the same
	h.Set("ETag", x.etag)
	h.Set("Content-Type", x.kind)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(x.text))
}
