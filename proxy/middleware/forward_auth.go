package middleware

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"portway/internal/redact"
	"portway/label"
	"portway/proxy/errorpage"
	"portway/proxy/exchange"
)

// forwardAuth has another service decide about each request: if its answer is a 2xx,
// the request goes on, with those fields of the answer that tell the application who
// it is. Any other answer is for the client: a login page, a redirect to one, a
// refusal. Where there is no answer, nobody gets in.
//
// The service gets the request's fields but not its content. What the client says
// about itself in the fields that the service answers with is never passed on.
type forwardAuth struct {
	address string // of the service
	copied  []string
	signIn  string
	timeout time.Duration
}

var _ Middleware = (*forwardAuth)(nil)

// urlWord is what stands for the client's address in forward-auth.sign-in.
const urlWord = "{url}"

// Labels binds forward-auth and its details.
func (m *forwardAuth) Labels(s *label.Set) {
	s.Func("forward-auth", "URL",
		"Ask this service (Authelia, Authentik, oauth2-proxy, tinyauth, your own) whether a request may pass: 2xx lets it through, "+
			"any other answer goes to the client.",
		func(value string) error {
			m.address = value
			return checkService(value)
		}, label.Example("http://authelia:9091/api/authz/forward-auth"), label.Shown(redact.URL))
	s.Each("forward-auth.response-headers",
		"Header fields of the service's answer that the application gets; a client's own are removed. A `*` at the end stands for anything.",
		m.addCopied, label.Needs("forward-auth"), label.Example("Remote-User, Remote-Groups"))
	s.Func("forward-auth.sign-in", "URL or path",
		"Where browsers are sent if the service answers 401; `"+urlWord+"` stands for the address that they asked for, escaped.",
		func(value string) error {
			m.signIn = value
			return checkSignIn(value)
		}, label.Needs("forward-auth"), label.Example("/oauth2/start?rd="+urlWord))
	s.Duration(&m.timeout, "forward-auth.timeout", 10*time.Second,
		"How long the service may take; then the answer is 504.", label.Needs("forward-auth"), label.Example("3s"))
	s.Check("forward-auth.timeout", func() error {
		if m.timeout <= 0 {
			return &label.Error{Why: "would let nobody in", Fix: "write for example 3s"}
		}
		return nil
	})
}

func (m *forwardAuth) addCopied(item string) error {
	name := strings.TrimSuffix(item, "*")
	if !validName(name) || strings.Contains(name, "*") || ofConnection(name) || strings.EqualFold(name, "host") {
		return &label.Error{Why: label.Quote(item) + " cannot name a field for that", Fix: "write for example Remote-User or X-Auth-Request-*"}
	}
	p := newFieldPattern(strings.ToLower(item))
	for _, ours := range []string{"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"} {
		if p.fits([]byte(ours)) {
			return &label.Error{Why: label.Quote(item) + " takes in " + ours + ", which Portway writes itself", Fix: "name the fields that the service answers with"}
		}
	}
	m.copied = append(m.copied, strings.ToLower(item))
	return nil
}

func checkSignIn(value string) error {
	if strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "//") && validText(value) && !strings.ContainsAny(value, ` \`) {
		return nil
	}
	return checkService(strings.ReplaceAll(value, urlWord, "x"))
}

// Wrap asks the service, if there is one.
func (m *forwardAuth) Wrap(next exchange.Handler) exchange.Handler {
	if m.address == "" {
		return next
	}
	h := &asker{next: next, service: newService(m.timeout), address: m.address}
	h.signIn, h.signInRest, h.signInURL = strings.Cut(m.signIn, urlWord)
	for _, name := range m.copied {
		h.copied = append(h.copied, newFieldPattern(name))
	}
	return h
}

// asker is a forwardAuth at work.
type asker struct {
	next    exchange.Handler
	service *service
	address string
	copied  []fieldPattern

	signIn, signInRest string // before and after the client's address
	signInURL          bool   // whether it is between
}

var _ exchange.Handler = (*asker)(nil)

// fieldPattern is the name of a field, or how names begin; in lower case.
type fieldPattern struct {
	base string
	more bool // names may go on
}

func newFieldPattern(s string) fieldPattern {
	base, more := strings.CutSuffix(s, "*")
	return fieldPattern{base, more}
}

func (p *fieldPattern) fits(name []byte) bool {
	if p.more && len(name) > len(p.base) {
		name = name[:len(p.base)]
	}
	return sameField(name, p.base)
}

func (h *asker) isCopied(name, _ []byte) bool {
	for i := range h.copied {
		if h.copied[i].fits(name) {
			return true
		}
	}
	return false
}

// Serve lets the exchange pass, or gives the client the service's answer.
func (h *asker) Serve(ex *exchange.Exchange) {
	resp, err := h.service.get(ex, h.address, h.question(ex))
	ex.Request.Fields.DelFunc(h.isCopied)
	switch {
	case err != nil:
		h.fail(ex, err)
	case resp.StatusCode < 300:
		leave(resp.Body)
		h.pass(ex, resp.Header)
	case resp.StatusCode == http.StatusUnauthorized && h.signIn != "" && isVisitor(&ex.Request):
		leave(resp.Body)
		h.askToSignIn(ex, resp.Header)
	default:
		deny(ex, resp)
		if resp.StatusCode >= 500 {
			ex.Failure = fmt.Errorf("forward-auth: %s answers %s", resp.Request.URL.Host, resp.Status)
		}
	}
}

// question is what the service is told. What a client claims to be is not among it;
// what it proves itself by is, even if the service may put something else in its place.
func (h *asker) question(ex *exchange.Exchange) http.Header {
	fields := describe(ex)
	for name := range fields {
		if name != "Authorization" && name != "Cookie" && !describes(name) && h.isCopied([]byte(name), nil) {
			delete(fields, name)
		}
	}
	return fields
}

// pass gives the exchange on, with what the service says about the client.
func (h *asker) pass(ex *exchange.Exchange, said http.Header) {
	cookies := said["Set-Cookie"]
	for name := range said {
		if !h.isCopied([]byte(name), nil) {
			delete(said, name)
		}
	}
	ex.Request.Fields.AddHTTP(said)
	ex.Identified = ex.Identified || len(said) > 0
	h.next.Serve(ex)
	for _, c := range cookies {
		ex.Response.Fields.AddString("Set-Cookie", c)
	}
}

// isVisitor tells whether a person waits for the answer, who can be shown another page.
func isVisitor(q *exchange.Request) bool {
	return (string(q.Method) == http.MethodGet || string(q.Method) == http.MethodHead) && q.Upgrade == nil &&
		bytes.Contains(q.Fields.Get("accept"), []byte("text/html"))
}

func (h *asker) askToSignIn(ex *exchange.Exchange, said http.Header) {
	to := h.signIn
	if h.signInURL {
		to += url.QueryEscape(address(ex)) + strings.ReplaceAll(h.signInRest, urlWord, "")
	}
	answer(ex, http.StatusFound, "", nil)
	f := &ex.Response.Fields
	f.AddString("Location", to)
	f.AddString("Cache-Control", "no-store")
	for _, c := range said["Set-Cookie"] {
		f.AddString("Set-Cookie", c)
	}
}

// deny gives the client the service's answer.
func deny(ex *exchange.Exchange, resp *http.Response) {
	ex.Response.Clear()
	p := &ex.Response
	p.Status = resp.StatusCode
	p.Fields.AddHTTP(resp.Header)
	p.Length = resp.ContentLength
	if string(ex.Request.Method) == http.MethodHead || p.Length == 0 {
		leave(resp.Body)
		return
	}
	p.Body = &denial{resp.Body}
}

// denial is what the service tells a client who may not pass. It is its own type so
// that error-pages leaves it alone: it may be what the client has to sign in by.
type denial struct{ io.ReadCloser }

var _ exchange.Body = (*denial)(nil)

// fail lets nobody in, since nobody knows who may.
func (h *asker) fail(ex *exchange.Exchange, err error) {
	p := errorpage.Page{Status: http.StatusBadGateway, Why: "The service that decides who may enter cannot be reached.", Retry: 5 * time.Second}
	if late(err) {
		p.Status, p.Why = http.StatusGatewayTimeout, "The service that decides who may enter took too long to answer."
	}
	p.Title = "Access cannot be checked"
	p.Answer(ex)
	if ex.Canceled() == nil {
		ex.Failure = fmt.Errorf("forward-auth: %w", err)
	}
}
