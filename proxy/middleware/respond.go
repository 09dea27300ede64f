package middleware

import (
	"net/http"
	"strconv"

	"portway/label"
	"portway/proxy/exchange"
)

// respond answers for the application, for example with a robots.txt.
type respond struct {
	text        string
	status      int // 0: not given
	contentType string
}

var _ Middleware = (*respond)(nil)

// Labels binds respond and its details.
func (m *respond) Labels(s *label.Set) {
	s.String(&m.text, "respond", "",
		"Answer every request of this route with this text, without asking the application.", label.Example("User-agent: *"))
	s.Int(&m.status, "respond.status", 0,
		"Status of that answer: 200, if not given. Alone, it answers without a text.",
		label.Range(200, 599), label.Example("410"))
	s.String(&m.contentType, "respond.type", plainText,
		"Media type of the text.", label.Needs("respond"), label.Example("application/json"))
	s.Check("respond.type", func() error {
		if !validText(m.contentType) {
			return &label.Error{Why: "has a control character", Fix: "write a media type, for example text/html"}
		}
		return nil
	})
	s.Check("respond.status", func() error {
		switch {
		case 300 <= m.status && m.status < 400:
			return &label.Error{Why: strconv.Itoa(m.status) + " needs more than a text", Fix: "use redirect"}
		case m.text != "" && (m.status == http.StatusNoContent || m.status == http.StatusResetContent):
			return &label.Error{Why: strconv.Itoa(m.status) + " has no text", Fix: "remove respond, or choose another status"}
		}
		return nil
	})
}

// Wrap answers, if there is an answer.
func (m *respond) Wrap(next exchange.Handler) exchange.Handler {
	status, content, contentType := m.status, []byte(m.text), m.contentType
	switch {
	case m.text == "" && status == 0:
		return next
	case status == 0:
		status = http.StatusOK
	}
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		answer(ex, status, contentType, content)
	})
}
