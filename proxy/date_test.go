package proxy

import (
	"bufio"
	"io"
	"net/http"
	"testing"
	"time"

	"portway/proxy/exchange"
	"portway/route"
)

// TestDate has every final answer with one Date: the origin's, or else ours,
// whatever protocol the client speaks and whoever answers.
func TestDate(t *testing.T) {
	t.Parallel()
	const theirs = "Mon, 02 Jan 2006 15:04:05 GMT"
	dated := originAt(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", theirs) })
	bare := originAt(t, func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil })
	i := serve(t, []*route.Route{at("dated.test", dated), at("bare.test", bare)})
	for name, client := range map[string]*http.Client{"HTTP/1.1": i.client(t, onlyHTTP1), "HTTP/2": i.client(t)} {
		for _, url := range []string{"https://dated.test/", "https://bare.test/", "http://bare.test/", "http://nobody.test/"} {
			before := time.Now().Truncate(time.Second)
			resp, _ := get(t, client, url)
			dates := resp.Header.Values("Date")
			if len(dates) != 1 {
				t.Errorf("%s, %s: Date %q", name, url, dates)
				continue
			}
			if url == "https://dated.test/" {
				if dates[0] != theirs {
					t.Errorf("%s: the origin's date became %q", name, dates[0])
				}
				continue
			}
			got, err := http.ParseTime(dates[0])
			if err != nil || got.Before(before) || got.After(time.Now()) {
				t.Errorf("%s, %s: Date %q, want the time of the answer", name, url, dates[0])
			}
		}
	}
	// What is refused before it is a request.
	c := i.dial(t)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 400 || len(resp.Header.Values("Date")) != 1 {
		t.Errorf("a bad request: %+v, %v", resp, err)
	}
}

func TestDateClock(t *testing.T) {
	var c dateClock
	now := time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("", 3600))
	if got := string(c.line(now).Text()); got != "Date: Tue, 03 Feb 2026 03:05:06 GMT\r\n" {
		t.Errorf("got %q", got)
	}
	if got := string(c.line(now.Add(time.Second)).Text()); got != "Date: Tue, 03 Feb 2026 03:05:07 GMT\r\n" {
		t.Errorf("a second later: %q", got)
	}
	ex := exchange.Get()
	defer exchange.Put(ex)
	ex.Response.Status = 101
	if c.stamp(ex); ex.Response.Fields.Len() != 0 {
		t.Error("a change of protocol needs no date")
	}
	ex.Response.Status = 200
	now = time.Now()
	if n := testing.AllocsPerRun(100, func() { ex.Response.Fields.Reset(); c.stamp(ex) }); n > 0.1 && time.Now().Unix() == now.Unix() {
		t.Errorf("%v allocations", n)
	}
}
