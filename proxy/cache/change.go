package cache

import (
	"bytes"
	"net/url"

	"portway/proxy/exchange"
)

// change forwards a request that may change something at the origin, and drops what is
// then outdated (RFC 9111 section 4.4): what is stored of its address, and of those of
// the same site that Location and Content-Location name. Fetches under way are not
// stored either.
func (h *handler) change(ex *exchange.Exchange, safe bool) {
	h.counts.bypassed.Add(1)
	if safe {
		h.next.Serve(ex)
		h.tell(ex, forwardedMethod)
		return
	}
	key := h.key(ex) // before paths are changed
	host, path := bytes.ToLower(ex.Request.Authority), ex.Request.Path
	h.next.Serve(ex)
	h.tell(ex, forwardedMethod)
	p := &ex.Response
	if p.Status < 200 || p.Status >= 400 {
		return
	}
	h.cache.invalidate(key)
	for _, name := range [...]string{"location", "content-location"} {
		if target := p.Fields.Get(name); len(target) > 0 {
			if key, ok := h.keyOf(host, path, target); ok {
				h.cache.invalidate(key)
			}
		}
	}
}

// keyOf is the key of the address that reference means, seen from a path of host; ok
// is false if that is not of the same host.
func (h *handler) keyOf(host, path, reference []byte) (key []byte, ok bool) {
	base := url.URL{Scheme: "http", Host: string(host), Path: string(path), RawPath: string(path)}
	u, err := url.Parse(string(reference))
	if err != nil {
		return nil, false
	}
	if u.Host != "" && !bytes.EqualFold([]byte(u.Host), host) || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return nil, false
	}
	u = base.ResolveReference(u)
	key = append(append([]byte(h.route), '\n'), host...)
	key = append(append(key, '\n'), u.EscapedPath()...)
	if u.RawQuery != "" || u.ForceQuery {
		key = h.appendQuery(key, []byte(u.RawQuery))
	}
	return key, true
}
