package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"portway/admin"
)

// Whoever has the token drops what is stored, at any host, but not over plain HTTP, where
// the path is one like all others.
func TestPurgeByToken(t *testing.T) {
	t.Parallel()
	var asked, purges atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == purgePath {
			purges.Add(1)
			return
		}
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=1000")
	}))
	defer origin.Close()
	const token = "a token that is long enough"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(token, " ", "-")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := runProcess(t, origin.URL, "--default=cache=true", "--trusted-proxies=127.0.0.1", "--purge-token=file:"+file)
	for range 2 {
		if status, _, err := p.get(t.Context(), "/"); err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
	}
	purgeBy := func(method, proto, authorization, content string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.http+purgePath, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "any.test"
		if proto == "http" {
			r.Host = "site.test"
		}
		r.Header.Set("X-Forwarded-Proto", proto)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	right := "Bearer " + strings.ReplaceAll(token, " ", "-")
	for _, c := range []struct {
		method, proto, authorization, content string
		status                                int
	}{
		{"POST", "http", right, `{"all":true}`, 200}, // by the origin
		{"POST", "https", "", `{"all":true}`, 401},
		{"POST", "https", right + "x", `{"all":true}`, 401},
		{"POST", "https", "Basic " + right, `{"all":true}`, 401},
		{"GET", "https", "", "", 401},
		{"GET", "https", right, "", 405},
		{"POST", "https", right, `{"everything":true}`, 400},
	} {
		if status, said := purgeBy(c.method, c.proto, c.authorization, c.content); status != c.status {
			t.Errorf("%+v: %d %s", c, status, said)
		}
	}
	if _, _, err := p.get(t.Context(), "/"); err != nil || asked.Load() != 1 || purges.Load() != 1 {
		t.Errorf("%v; the origin was asked %d times, and got %d purges", err, asked.Load(), purges.Load())
	}
	if status, said := purgeBy("POST", "https", strings.Replace(right, "Bearer", "bearer", 1), `{"prefix":"https://site.test/"}`); status != http.StatusOK || !strings.Contains(said, `"dropped": 1`) {
		t.Errorf("%d %s", status, said)
	}
	if _, _, err := p.get(t.Context(), "/"); err != nil || asked.Load() != 2 {
		t.Errorf("%v; the origin was asked %d times", err, asked.Load())
	}
	status, content, err := ask(p.control, "/v1/status")
	if err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	var st admin.Status
	if err := json.Unmarshal(content, &st); err != nil {
		t.Fatal(err)
	}
	if c := st.Routes[0].Cache; c == nil || *c != (admin.Cache{Hits: 2, Misses: 2, Bypassed: 1, HitRatio: 0.5}) {
		t.Errorf("the status tells of the cache %+v", c)
	}
	p.signal(syscall.SIGTERM)
	p.ends(0)
}
