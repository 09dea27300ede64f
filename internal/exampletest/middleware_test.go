package exampletest

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Each of the example's labels does what its README says.
func TestMiddleware(t *testing.T) {
	run(t, "middleware", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		site, api := "site."+e.suffix, "api."+e.suffix
		e.reaches(t, c, site, "/")
		tries := 0
		eventually(t, func() error { // each time as another client, or the limit is used up
			tries++
			resp, _, _, err := e.send(c, http.MethodGet, api, "/v1/", fmt.Sprintf("X-Api-Key: try %d", tries))
			if err == nil && resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
			return err
		})
		e.signsIn(t, c, "private."+e.suffix)

		port := fmt.Sprintf(":%d", e.https)
		for _, tc := range []struct {
			host, path string
			fields     []string
			status     int
			want       map[string]string // fields of the answer
			text       string            // part of the content
		}{
			{host: "www." + site, path: "/a?b", status: 308, want: map[string]string{"Location": "https://" + site + port + "/a?b"}},
			{host: site, path: "/old/page", status: 308, want: map[string]string{"Location": "/new/page"}},
			{host: site, path: "/", status: 200, want: map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Site": "www", "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
			}},
			{host: site, path: "/", fields: []string{"Accept-Encoding: zstd, br"}, status: 200, want: map[string]string{"Content-Encoding": "br"}},
			{host: site, path: "/robots.txt", status: 200, want: map[string]string{"Content-Type": "text/plain"}, text: "Disallow: /private"},
			{host: site, path: "/gone", fields: []string{"Accept: text/html"}, status: 410, text: "<h1>Gone</h1>"},
			{host: api, path: "/v1/users", fields: []string{"Origin: https://" + site, "X-Api-Key: one"}, status: 200, want: map[string]string{
				"Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "X-Total",
			}, text: `"url": "/app/users"`},
			{host: api, path: "/v1/legacy/users", fields: []string{"X-Api-Key: two", "X-Internal: yes"}, status: 200, text: `"url": "/app/users"`},
			{host: api, path: "/v2", status: 404},
			{host: "private." + e.suffix, path: "/", status: 401, want: map[string]string{"Www-Authenticate": `Basic realm="At home", charset="UTF-8"`}},
			{host: "shop." + e.suffix, path: "/", status: 503, want: map[string]string{"Retry-After": "3600"}, text: "Back at 10 o'clock."},
		} {
			resp, text, _, err := e.send(c, http.MethodGet, tc.host, tc.path, tc.fields...)
			if err != nil {
				t.Errorf("%s%s: %v", tc.host, tc.path, err)
				continue
			}
			if resp.StatusCode != tc.status || !strings.Contains(text, tc.text) {
				t.Errorf("%s%s: %s, want %d and %q:\n%s", tc.host, tc.path, resp.Status, tc.status, tc.text, text)
			}
			for name, want := range tc.want {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s%s: %s is %q, want %q", tc.host, tc.path, name, got, want)
				}
			}
		}

		resp, _, what, err := e.send(c, http.MethodGet, api, "/v1/", "X-Api-Key: three", "X-Internal: yes")
		if err != nil {
			t.Fatal(err)
		}
		if h := what.Headers; h["X-Client"] == "" || h["X-Internal"] != "" || h["X-Forwarded-Prefix"] != "/v1" || h["Traceparent"] == "" ||
			h["X-Request-Id"] == "" || h["X-Request-Id"] != resp.Header.Get("X-Request-Id") {
			t.Errorf("the API was given %v, and its client %v", h, resp.Header)
		}
		// Five at once for each key, and not more.
		for i := range 7 {
			resp, _, _, err := e.send(c, http.MethodGet, api, "/v1/", "X-Api-Key: greedy")
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: 200, false: 429}[i < 5]; resp.StatusCode != want {
				t.Errorf("request %d of one key: %s, want %d", i+1, resp.Status, want)
			}
		}
		e.preflight(t, c, api, "https://"+site)
		e.upload(t, c, api)

		// Where nothing answers, visitors see a page of the site's own.
		e.mustRun(t, "stop", "-t", "1", "www")
		eventually(t, func() error {
			resp, text, _, err := e.send(c, http.MethodGet, site, "/", "Accept: text/html", "Accept-Encoding: gzip")
			if err == nil && resp.Header.Get("Content-Encoding") == "gzip" {
				text, err = unzip(text)
			}
			if err == nil && (resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "it is not you")) {
				err = fmt.Errorf("a stopped site answers %s %s", resp.Status, text)
			}
			return err
		})
	})
}

func unzip(text string) (string, error) {
	r, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		return "", err
	}
	plain, err := io.ReadAll(r)
	return string(plain), err
}

// signsIn checks that the password of the README opens the site, and that the
// application is told who it is.
func (e *example) signsIn(t *testing.T, c *http.Client, host string) {
	t.Helper()
	eventually(t, func() error {
		resp, text, what, err := e.send(c, http.MethodGet, host, "/", "Authorization: Basic YWxpY2U6d29uZGVybGFuZA==") // alice:wonderland
		if err != nil {
			return err
		}
		if what.Headers["X-User"] != "alice" || what.Headers["Authorization"] == "" {
			return fmt.Errorf("%s %s", resp.Status, text)
		}
		return nil
	})
}

// preflight asks what a script of another site may do.
func (e *example) preflight(t *testing.T, c *http.Client, host, origin string) {
	t.Helper()
	resp, _, _, err := e.send(c, http.MethodOptions, host, "/v1/", "Origin: "+origin,
		"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-api-key")
	if err != nil {
		t.Fatal(err)
	}
	if h := resp.Header; h.Get("Access-Control-Allow-Origin") != origin || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(strings.ToLower(h.Get("Access-Control-Allow-Headers")), "x-api-key") || h.Get("Access-Control-Max-Age") != "3600" {
		t.Errorf("a preflight is answered %s %v", resp.Status, h)
	}
}

// upload sends what is buffered whole, in part, and too much.
func (e *example) upload(t *testing.T, c *http.Client, host string) {
	t.Helper()
	for size, status := range map[int]int{10 << 10: 200, 50 << 10: 200, 70 << 10: 413} {
		req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("https://%s:%d/v1/legacy/", host, e.https), io.LimitReader(zeros{}, int64(size)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", fmt.Sprint(size))
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := body(resp, nil) // what it says matters only below
		if resp.StatusCode != status {
			t.Errorf("%d bytes: %s, want %d: %s", size, resp.Status, status, text)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
