package admin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"portway/admin"
)

func TestPurge(t *testing.T) {
	t.Parallel()
	var got admin.Purge
	s := admin.New(admin.Config{Purge: func(p admin.Purge) (int, error) {
		if got = p; p.Tag == "wrong" {
			return 0, errors.New("no such tag")
		}
		return 3, nil
	}})
	ask := func(h http.Handler, method, content string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/v1/purge", strings.NewReader(content)))
		return w.Code, w.Body.String()
	}
	if status, content := ask(s, http.MethodPost, `{"url":"https://a.test/b"}`); status != http.StatusOK || !strings.Contains(content, `"dropped": 3`) || got.URL != "https://a.test/b" {
		t.Errorf("%d %s for %+v", status, content, got)
	}
	for content, want := range map[string]string{`{"tag":"wrong"}`: "no such tag", `{"urls":""}`: "urls", `x`: "not a purge"} {
		if status, said := ask(s, http.MethodPost, content); status != http.StatusBadRequest || !strings.Contains(said, want) {
			t.Errorf("%s: %d %s", content, status, said)
		}
	}
	if status, _ := ask(s, http.MethodGet, ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	if status, _ := ask(admin.New(admin.Config{}), http.MethodPost, `{"all":true}`); status != http.StatusNotFound {
		t.Errorf("without a cache: %d", status)
	}
}
