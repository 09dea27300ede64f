package middleware_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
)

// Over many connections at the same time, exactly as many requests of each client, value
// of a field, or route get through as should; all others are told when to come back.
func TestRateLimitThroughListener(t *testing.T) {
	t.Parallel()
	const clients, connections, requests, burst = 3, 12, 20, 25
	for by, want := range map[string]map[string]int{
		"ip":               {"0": burst, "1": burst, "2": burst},
		"header:X-Api-Key": {"0": burst, "1": burst, "2": burst},
		"route":            {"all": burst},
	} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			w := startWire(t)
			w.serve(t, map[string]string{"portway.rate-limit": fmt.Sprintf("%d/1h", burst), "portway.rate-limit.by": by}, "", "app.example.com")
			var mu sync.Mutex
			passed, refused := map[string]int{}, 0
			var wg sync.WaitGroup
			for g := range connections {
				c := w.client(t)
				wg.Go(func() {
					client := fmt.Sprint(g % clients)
					for range requests {
						req, _ := http.NewRequest(http.MethodGet, "http://app.example.com/", nil)
						switch by {
						case "header:X-Api-Key":
							req.Header.Set("X-Api-Key", client)
						case "ip":
							req.Header.Set("X-Forwarded-For", "192.0.2."+client)
						}
						resp, err := c.Do(req)
						if err != nil {
							t.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						who := client
						if by == "route" {
							who = "all"
						}
						told := resp.Header.Get("RateLimit") != "" && resp.Header.Get("RateLimit-Policy") == fmt.Sprintf(`"portway";q=%d;w=3600`, burst)
						mu.Lock()
						switch {
						case resp.StatusCode == http.StatusOK && told:
							passed[who]++
						case resp.StatusCode == http.StatusTooManyRequests && told && resp.Header.Get("Retry-After") != "":
							refused++
						default:
							t.Errorf("%s: %v", resp.Status, resp.Header)
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			total := 0
			for who, n := range want {
				total += n
				if passed[who] != n {
					t.Errorf("%s: %d requests got through, want %d", who, passed[who], n)
				}
			}
			if refused != connections*requests-total {
				t.Errorf("%d were refused, want %d", refused, connections*requests-total)
			}
		})
	}
}
