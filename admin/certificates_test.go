package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"portway/admin"
)

func TestCertificates(t *testing.T) {
	t.Parallel()
	var done []string
	h := admin.Certificates{
		All: func() []admin.CertificateDetails {
			return []admin.CertificateDetails{{Certificate: admin.Certificate{Name: "*.a.test", State: "valid"}, Serial: "1f"}}
		},
		Renew: func(name string) error {
			if name != "*.a.test" {
				return errors.New("no route needs it")
			}
			done = append(done, "renew "+name)
			return nil
		},
		Revoke: func(_ context.Context, name string, reason int) error {
			done = append(done, "revoke "+name+" "+string(rune('0'+reason)))
			return nil
		},
		Export: func(name string) (admin.Exported, error) { return admin.Exported{Chain: "C", Key: "K " + name}, nil },
		Import: func(_ context.Context, i admin.Import) ([]admin.ImportResult, error) {
			return []admin.ImportResult{{What: i.Certificates[0].Source}}, nil
		},
	}.Handler()
	ask := func(method, path, content string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(content)))
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		method, path, content string
		status                int
		said                  string
	}{
		{"GET", "/v1/certificates", "", 200, `"serial": "1f"`},
		{"GET", "/v1/certificates/*.a.test", "", 200, `"name": "*.a.test"`},
		{"GET", "/v1/certificates/b.test", "", 404, "no route needs a certificate for b.test"},
		{"POST", "/v1/certificates/*.a.test/renew", "", 200, "{}"},
		{"POST", "/v1/certificates/b.test/renew", "", 400, "no route needs it"},
		{"POST", "/v1/certificates/b.test/revoke", `{"reason":4}`, 200, "{}"},
		{"POST", "/v1/certificates/b.test/revoke", `{"why":4}`, 400, "not understood"},
		{"POST", "/v1/certificates/b.test/export", "", 200, `"key": "K b.test"`},
		{"GET", "/v1/certificates/b.test/export", "", 405, ""},
		{"POST", "/v1/certificates/import", `{"certificates":[{"source":"acme.json","chain":"c","key":"k"}]}`, 200, `"what": "acme.json"`},
	} {
		if status, said := ask(c.method, c.path, c.content); status != c.status || !strings.Contains(said, c.said) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, said)
		}
	}
	if strings.Join(done, ", ") != "renew *.a.test, revoke b.test 4" {
		t.Errorf("done: %q", done)
	}
}

// Whoever may read the status may not have the keys.
func TestKeysAreNotPartOfTheStatus(t *testing.T) {
	t.Parallel()
	s := admin.New(admin.Config{})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/certificates/a.test/export", nil))
	if w.Code == http.StatusOK || json.Valid(w.Body.Bytes()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
