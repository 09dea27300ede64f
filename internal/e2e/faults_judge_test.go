package e2e

import (
	"errors"
	"net/http"
	"testing"
)

// The judge of TestFaults finds what is wrong.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	answer := func(status int, fields ...string) *http.Response {
		h := http.Header{}
		for i := 0; i < len(fields); i += 2 {
			h.Set(fields[i], fields[i+1])
		}
		return &http.Response{StatusCode: status, Header: h}
	}
	broken := errors.New("broken off")
	for _, row := range []struct {
		name string
		may  int
		resp *http.Response
		body string
		err  error
		ok   bool
	}{
		{"right", allowed(complete), answer(200, "X-Id", "2"), string(contentOf(2)), nil, true},
		{"right, though it may fail", anything, answer(200, "X-Id", "2"), string(contentOf(2)), nil, true},
		{"somebody else's", anything, answer(200, "X-Id", "10"), string(contentOf(10)), nil, false},
		{"somebody else's content", anything, answer(200, "X-Id", "2"), string(contentOf(10)), nil, false},
		{"cut, but looks complete", anything, answer(200, "X-Id", "2"), string(contentOf(2)[:50]), nil, false},
		{"broken, but looks complete", allowed(cut), answer(200, "X-Id", "2"), string(contentOf(2)), nil, false},
		{"broken, and seen as that", allowed(cut), nil, "", broken, true},
		{"broken off without need", allowed(complete), nil, "", broken, false},
		{"refused", allowed(refused), answer(502, "X-Request-Id", "x"), "page", nil, true},
		{"refused without need", allowed(complete), answer(502, "X-Request-Id", "x"), "page", nil, false},
		{"an error page of the origin's", anything, answer(502, "X-Id", "2"), "page", nil, false},
		{"an error of ours", anything, answer(500, "X-Request-Id", "x"), "page", nil, false},
		{"content that changed on its way there", anything, answer(418), "", nil, false},
	} {
		if _, fault := judge(2, row.may, row.resp, []byte(row.body), row.err); (fault == nil) != row.ok {
			t.Errorf("%s: %v", row.name, fault)
		}
	}
}
