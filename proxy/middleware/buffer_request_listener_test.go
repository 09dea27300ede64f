package middleware_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portway/route"
)

// The application hears of a request with content that fits once all of it is there,
// with its length; of a larger one as soon as the bound is reached.
func TestBufferRequestThroughListener(t *testing.T) {
	t.Parallel()
	type seen struct {
		length int64
		first  string // what was there at once
		body   io.Reader
	}
	requests := make(chan seen)
	read := make(chan string)
	origin := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		first := make([]byte, 4)
		_, _ = io.ReadFull(r.Body, first)
		requests <- seen{r.ContentLength, string(first), r.Body}
		rest, err := io.ReadAll(r.Body)
		read <- fmt.Sprint(string(rest), err)
	}))
	t.Cleanup(origin.Close)
	w := startWire(t)
	r := w.route(t, map[string]string{"portway.host": "app.example.com", "portway.buffer-request": "8B"}, origin.Listener.Addr().String())
	w.server.SetTable(route.NewTable([]*route.Route{r}, nil))
	begin := func(content string) (net.Conn, *bufio.Reader) {
		t.Helper()
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		send(t, c, "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk(content))
		return c, bufio.NewReader(c)
	}
	answered := func(answers *bufio.Reader, want int) {
		t.Helper()
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("answered %s, want %d", resp.Status, want)
		}
		_ = resp.Body.Close()
	}

	// The first request is not complete; the second is, and gets there before it.
	slow, slowAnswers := begin("1234")
	quick, quickAnswers := begin("abcd")
	send(t, quick, chunk("ef")+chunk(""))
	if got := <-requests; got.length != 6 || got.first != "abcd" {
		t.Errorf("the application was asked first with %d bytes %q, want 6 and abcd", got.length, got.first)
	}
	<-read
	answered(quickAnswers, http.StatusOK)

	send(t, slow, chunk("567890")) // now it is more than fits
	if got := <-requests; got.length != -1 || got.first != "1234" {
		t.Errorf("the application was asked with %d bytes %q, want -1 and 1234", got.length, got.first)
	}
	send(t, slow, chunk("x")+chunk(""))
	if got := <-read; got != "567890x<nil>" {
		t.Errorf("the rest is %q", got)
	}
	answered(slowAnswers, http.StatusOK)

	// One whose client gives up in the middle, or cannot count, never gets there.
	broken, brokenAnswers := begin("12")
	send(t, broken, "no number\r\n")
	answered(brokenAnswers, http.StatusBadRequest)
	select {
	case got := <-requests:
		t.Errorf("the application was asked with %q", got.first)
	default:
	}
}

func chunk(content string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(content), content) }

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.Copy(c, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}
