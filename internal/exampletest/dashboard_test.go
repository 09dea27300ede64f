package exampletest

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// The dashboard is a site like any other, whoever has the command's link gets in, and
// the mistake in the example is told with its fix. In the image Portway has given up
// root before it writes the account.
func TestDashboard(t *testing.T) {
	run(t, "dashboard", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		c.Jar, _ = cookiejar.New(nil) // never fails
		e.reaches(t, c, "whoami."+e.suffix, "/")
		base := fmt.Sprintf("https://portway.%s:%d", e.suffix, e.https)
		eventually(t, func() error { // its certificate may be on its way
			_, err := body(c.Get(base + "/sign-in"))
			return err
		})
		link := regexp.MustCompile(`https://\S+`).FindString(e.mustRun(t, "exec", "-T", "portway", "/portway", "dashboard"))
		u, err := url.Parse(link)
		if err != nil || !strings.HasPrefix(link, base+"/sign-in?token=") {
			t.Fatalf("the link is %q, %v", link, err)
		}
		resp, err := c.PostForm(base+"/sign-in", url.Values{"token": {u.Query().Get("token")}})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if cookie := resp.Header.Get("Set-Cookie"); resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(cookie, "__Host-portway=") || !strings.Contains(cookie, "Secure") {
			t.Fatalf("%s, cookie %q", resp.Status, cookie)
		}
		eventually(t, func() error { // which port answers is found out beside
			page, err := body(c.Get(base + "/containers"))
			for _, words := range []string{"set portway.port: 8080, where something listens", "setting dashboard-host"} {
				if err == nil && !strings.Contains(page, words) {
					err = fmt.Errorf("no %q in\n%s", words, page)
				}
			}
			return err
		})
		if logs := e.output("logs", "--no-color", "portway"); strings.Count(logs, "the dashboard has this password") != 1 {
			t.Errorf("the log has no password, or many:\n%s", logs)
		}
	})
}
