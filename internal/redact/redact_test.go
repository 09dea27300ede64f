package redact_test

import (
	"testing"

	"portway/internal/redact"
)

func TestQueries(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                         "",
		"&":                        "&",
		";;a&;":                    ";;a&;",
		"q=1&Token=x&b":            "q=1&Token=REDACTED&b",
		"q=1;token=x":              "q=1;token=REDACTED",
		"a=1;token=x;y=z&b=2":      "a=1;token=REDACTED&b=2", // who reads "&" alone has y=z in the token
		"token=x;rest&a=b":         "token=REDACTED&a=b",
		"%74oken=x;a=b":            "%74oken=REDACTED",
		"token;a=b":                "token;a=b",
		"tenant=acme&x=1;tenant=b": "tenant=REDACTED&x=1;tenant=REDACTED",
	} {
		if got := string(redact.Names{"tenant"}.AppendQuery([]byte("?"), []byte(query))); got != "?"+want {
			t.Errorf("%q becomes %q, want %q", query, got, "?"+want)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                              "",
		"/healthz":                      "/healthz",
		"/healthz?key=x&a=b":            "/healthz?key=(hidden)&a=b",
		"http://joe:x@auth:9091/verify": "http://auth:9091/verify",
		"https://app.test?sig=x":        "https://app.test?sig=(hidden)",
	} {
		if got := redact.URL(url); got != want {
			t.Errorf("%q becomes %q, want %q", url, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "",
		"X-Client: {client_ip}":      "X-Client: {client_ip}",
		"X-A: 1\nAuthorization: x\n": "X-A: 1\nAuthorization: (hidden)\n",
		"+Set-Cookie:a=b\r\n-Server": "+Set-Cookie:(hidden)\r\n-Server",
		"  x-api-key :  x":           "  x-api-key :  (hidden)",
		"Proxy-Authorization: x":     "Proxy-Authorization: (hidden)",
		"-Authorization":             "-Authorization",
		"!Cookie":                    "!Cookie",
		"Authorization:":             "Authorization:",
		"Authorization Bearer x":     "(hidden)",
		"X-A: 1, Authorization: x":   "X-A: 1, Authorization: (hidden)",
		"Authorization: x, y: z":     "Authorization: (hidden)",
		"Access-Control-Allow-Headers: Content-Type, Authorization": "Access-Control-Allow-Headers: Content-Type, Authorization",
	} {
		if got := redact.Lines(text, ":"); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got := redact.Lines("session=~x.*\nbeta=yes", "="); got != "session=(hidden)\nbeta=yes" {
		t.Error(got)
	}
}
