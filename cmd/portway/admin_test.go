package main

import (
	"net/http"
	"strings"
	"testing"

	"portway/internal/freeport"
)

// Over TCP only those can ask who have the token; without one it is not served.
func TestAdminOverTCP(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef-token"
	address := freeport.Local(t)
	p := runProcess(t, "http://127.0.0.1:1", "--admin="+address, "--admin-token="+token)
	ask := func(path, authorization string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for _, c := range []struct {
		path, authorization string
		want                int
	}{
		{"/healthz", "", 200},
		{"/v1/status", "", 401},
		{"/v1/status", "Bearer " + token[1:], 401},
		{"/v1/status", "Basic " + token, 401},
		{"/v1/status", "Bearer", 401},
		{"/v1/status", "bearer " + token, 200},
		{"/v1/openapi.json", "", 401},
		{"/nothing", "", 401},
	} {
		if got := ask(c.path, c.authorization); got != c.want {
			t.Errorf("%s with %q: %d, want %d", c.path, c.authorization, got, c.want)
		}
	}
	out, status := p.command("run", "--admin=127.0.0.1:0", "--http=off")
	if status != 2 || !strings.Contains(out, "needs admin-token") {
		t.Errorf("without a token: %d %s", status, out)
	}
}
