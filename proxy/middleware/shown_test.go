package middleware_test

import (
	"fmt"
	"strings"
	"testing"

	"portway/label"
	"portway/proxy/middleware"
	"portway/route"
)

// Whoever looks at a route, or at what is wrong with it, does not see the secrets in its
// header fields and addresses, and sees the rest.
func TestSecretsInFieldsAreNotShown(t *testing.T) {
	t.Parallel()
	p := route.NewParser(middleware.All)
	const fish = "swordfish"
	for _, c := range []struct {
		option, value string
		shown         string // "": the value is wrong
	}{
		{"request-headers", "Authorization: Bearer " + fish + "\nX-Client: {client_ip}", "Authorization: (hidden)\nX-Client: {client_ip}"},
		{"request-headers", "+x-api-key:" + fish, "+x-api-key:(hidden)"},
		{"request-headers", "-Authorization", "-Authorization"},
		{"response-headers", "Set-Cookie: a=" + fish + "\n-Server", "Set-Cookie: (hidden)\n-Server"},
		{"forward-auth", "http://auth/verify?token=" + fish, "http://auth/verify?token=(hidden)"},
		{"error-pages", "http://errors/{status}?key=" + fish, "http://errors/{status}?key=(hidden)"},
		{"request-headers", "Authorization Bearer " + fish, ""},
		{"request-headers", "Authorization: {" + fish + "}", ""},
		{"request-headers", "X-A: 1, Authorization: " + fish, ""},
		{"response-headers", "-Set-Cookie: " + fish, ""},
		{"forward-auth", "auth/verify?token=" + fish, ""},
		{"forward-auth", "http://joe:" + fish + "@auth/verify", ""},
		{"error-pages", "errors/{status}?key=" + fish, ""},
	} {
		got := p.Values("f.yaml", "x", func(o string) string { return "x." + o }, label.Values{"host": "a.test", c.option: c.value})
		if (len(got.Problems) == 0) != (c.shown != "") {
			t.Errorf("%s=%q: %v", c.option, c.value, got.Problems)
		}
		labels := p.Settings(map[string]string{"portway." + c.option: c.value, "portway.bundle.x." + c.option: c.value})
		if strings.Contains(fmt.Sprint(got.Problems, got.Settings, labels), fish) {
			t.Errorf("%s=%q is shown: %v, %+v, %+v", c.option, c.value, got.Problems, got.Settings, labels)
		}
		for _, s := range append(got.Settings, labels...) {
			if c.shown != "" && s.Option == c.option && s.Value != c.shown {
				t.Errorf("%s=%q is shown as %q", c.option, c.value, s.Value)
			}
		}
	}
}
