package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"portway/internal/redact"
	"portway/label"
	"portway/proxy/exchange"
)

// service is another site that a middleware asks about an exchange: one that says who
// may enter, or one that has pages for errors. Connections to it are used again; no
// redirect is followed, and no proxy of the environment is used.
type service struct {
	client http.Client
}

// newService makes the client for one route. A question must be answered to its end
// within limit.
func newService(limit time.Duration) *service {
	return &service{http.Client{
		Timeout:       limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true, // what it answers may be for the client
			ForceAttemptHTTP2:   true,
		},
	}}
}

// get asks for address, as far as it is known to be a valid one. The answer's body
// has to be closed.
func (s *service) get(ex *exchange.Exchange, address string, fields http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ex.Context(), http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header = fields
	resp, err := s.client.Do(req)
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking %s: %w", req.URL.Host, plainCause(err))
	case resp.StatusCode < 200:
		_ = resp.Body.Close()
		return nil, fmt.Errorf("asking %s: its answer has status %d", req.URL.Host, resp.StatusCode)
	}
	return resp, nil
}

// plainCause is err without the address, which may hold a secret.
func plainCause(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// late tells whether an error of get is that no answer came in time.
func late(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// leave reads what is left of a small body, so that its connection can be used again.
func leave(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

// describe gives the fields that tell a service about ex: what the client sent, who it
// is, and where it wants to go, in the words of several conventions. Those words are
// never the client's own. Fields about content, or about what the client has already,
// are left out, for the question has none and is not about it.
func describe(ex *exchange.Exchange) http.Header {
	q := &ex.Request
	h := make(http.Header, q.Fields.Len()+6)
	q.Fields.CopyHTTP(h)
	for name := range h {
		if describes(name) || strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "If-") || name == "Range" {
			delete(h, name)
		}
	}
	uri := string(appendURI(nil, q))
	at := address(ex)
	h.Set("X-Forwarded-Method", string(q.Method))
	h.Set("X-Forwarded-Uri", uri)
	h.Set("X-Original-Method", string(q.Method))
	h.Set("X-Original-Url", at)
	h.Set("X-Auth-Request-Redirect", at)
	h.Set("X-Request-Id", ex.RequestID())
	return h
}

// describes tells whether describe writes the field, or one that looks like it.
func describes(name string) bool {
	for _, own := range []string{
		"x-forwarded-method", "x-forwarded-uri", "x-original-method", "x-original-url", "x-original-uri",
		"x-auth-request-redirect", "x-request-id",
	} {
		if sameField([]byte(name), own) {
			return true
		}
	}
	return false
}

// address is what the client asked for, as it would be written in a browser.
func address(ex *exchange.Exchange) string {
	b := append([]byte(ex.Scheme), "://"...)
	return string(appendURI(append(b, clientHost(ex)...), &ex.Request))
}

// checkService makes sure that value is an address that can be asked.
func checkService(value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !validText(value) || strings.Contains(value, " "):
		return &label.Error{Why: label.Quote(redact.URL(value)) + " is no address of a service", Fix: "write it with http:// or https://, for example http://auth:9091/api/verify"}
	case u.User != nil:
		return &label.Error{Why: "has a name or password in the address, where logs would show it", Fix: "remove what is before the @", Safe: true}
	case u.Fragment != "":
		return &label.Error{Why: label.Quote(redact.URL(value)) + " has a #, which servers never see", Fix: "remove it and what follows"}
	}
	return nil
}
