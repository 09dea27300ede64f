package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/net/http2"

	"portway/internal/dockertest"
)

// churn's figures: requests in flight at once, half of them over HTTP/1.1
// connections of their own and half as streams of HTTP/2 connections, and
// containers that start and stop around them. (10,000 connections on either side of
// Portway would be more files than a container may open on some machines.)
const (
	inFlight = 10_000
	h2Conns  = 50
	visitors = 50
)

// TestChurn holds the promise that nothing is dropped: while 50 containers start
// and stop, none of the 10,000 requests in flight on a route that stays may fail,
// nor a WebSocket, nor a slow download.
func TestChurn(t *testing.T) {
	portwayImage, whoamiImage := dockertest.Product(t)
	engine := dockertest.Require(t)
	raiseFileLimit(t, inFlight+2000)
	network := engine.Network(t)
	stay := map[string]string{"portway.host": "stay.test"}
	for i := range 2 {
		engine.Run(t, dockertest.Spec{
			Image: whoamiImage, Networks: []string{network}, Labels: merge(stay, dockertest.Compose("churn", "stay", i+1, nil)), Change: unchecked,
		})
	}
	proxy := engine.Run(t, dockertest.Spec{
		Image: portwayImage, Networks: []string{network}, Binds: []string{"/var/run/docker.sock:/var/run/docker.sock:ro"},
	})
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("docker", "logs", proxy.Name).CombinedOutput() // empty if it fails
			t.Logf("the first requests that failed: %s", warnings(string(out), 5))
		}
	})
	addr := proxy.Addr(t, network).String()
	roots := internalRoot(t, addr+":80")
	client := clientFor(addr+":80", addr+":443", roots)
	waitStatus(t, client, "https://stay.test/", 200)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load flock
	var streams sync.WaitGroup
	streamErrors := make(chan error, 2)
	streams.Go(func() { streamErrors <- talk(ctx, client) })
	streams.Go(func() { streamErrors <- download(ctx, addr+":443", roots) })
	load.release(ctx, addr+":443", roots)
	eventually(t, 3*time.Minute, func() error {
		if n := load.flying.Load(); n < inFlight {
			return fmt.Errorf("%d requests in flight, %d failed: %w", n, load.failed.Load(), load.first())
		}
		return nil
	})
	peak := load.flying.Load()

	begin := time.Now()
	sites := make([]*dockertest.Container, visitors)
	for i := range sites {
		sites[i] = engine.Create(t, dockertest.Spec{
			Image: whoamiImage, Networks: []string{network}, Labels: map[string]string{"portway.host": fmt.Sprintf("visitor%d.test", i)}, Change: unchecked,
		})
	}
	for _, s := range sites {
		s.Start(t)
	}
	waitStatus(t, client, fmt.Sprintf("https://visitor%d.test/", visitors-1), 200)
	for _, s := range sites {
		if err := engine.ContainerRemove(t.Context(), s.ID, container.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	}
	waitStatus(t, client, fmt.Sprintf("http://visitor%d.test/", visitors-1), 404)
	churned := time.Since(begin)

	cancel()
	streams.Wait()
	load.land()
	for range 2 {
		if err := <-streamErrors; err != nil {
			t.Error(err)
		}
	}
	t.Logf("FIGURES %d containers started and stopped in %v around %d requests in flight over keep-alive connections (half HTTP/1.1, half HTTP/2): %d answered, %d failed; WebSocket and slow download unbroken",
		visitors, churned.Round(time.Millisecond), peak, load.answered.Load(), load.failed.Load())
	if n := load.failed.Load(); n > 0 {
		t.Errorf("%d requests failed, the first: %v", n, load.first())
	}
	if load.answered.Load() < inFlight {
		t.Errorf("only %d requests were answered", load.answered.Load())
	}
}

// warnings are the first n lines of a log about requests that failed.
func warnings(log string, n int) string {
	var found strings.Builder
	for line := range strings.Lines(log) {
		if n > 0 && strings.Contains(line, `"request failed"`) && strings.Contains(line, "stay.test") {
			found.WriteString(line)
			n--
		}
	}
	return found.String()
}

// unchecked switches health checks off: one process a second and container would
// leave little of a small machine to the test.
func unchecked(c *container.Config, _ *container.HostConfig) {
	c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
}

// flock is many requests at once, each on a connection of its own that is used
// again and again.
type flock struct {
	wg                       sync.WaitGroup
	flying, answered, failed atomic.Int64
	err                      atomic.Pointer[error]
}

func (f *flock) first() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// release starts the requests; each asks for an answer that takes some seconds, so
// that nearly all are in flight at any time.
func (f *flock) release(ctx context.Context, addr string, roots *x509.CertPool) {
	gate := make(chan struct{}, 16) // handshakes at once
	sessions := tls.NewLRUClientSessionCache(8)
	dial := func(proto string) (net.Conn, error) {
		gate <- struct{}{}
		defer func() { <-gate }()
		conf := &tls.Config{RootCAs: roots, ServerName: "stay.test", NextProtos: []string{proto}, ClientSessionCache: sessions}
		return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", addr)
	}
	for range inFlight / 2 {
		f.wg.Go(func() {
			conn, err := dial("http/1.1")
			if err != nil {
				f.fail(ctx, err)
				return
			}
			defer func() { _ = conn.Close() }()
			f.fly(ctx, func() error { return overHTTP1(conn) })
		})
	}
	for range h2Conns {
		f.wg.Go(func() {
			conn, err := dial("h2")
			if err != nil {
				f.fail(ctx, err)
				return
			}
			defer func() { _ = conn.Close() }()
			cc, err := (&http2.Transport{}).NewClientConn(conn)
			if err != nil {
				f.fail(ctx, err)
				return
			}
			var streams sync.WaitGroup
			for range inFlight / 2 / h2Conns {
				streams.Go(func() { f.fly(ctx, func() error { return overHTTP2(cc) }) })
			}
			streams.Wait()
		})
	}
}

func (f *flock) fail(ctx context.Context, err error) {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		f.failed.Add(1)
		f.err.CompareAndSwap(nil, &err)
	}
}

// fly repeats a request until ctx is done; the one in flight then is finished.
func (f *flock) fly(ctx context.Context, once func() error) {
	for ctx.Err() == nil {
		f.flying.Add(1)
		err := once()
		f.flying.Add(-1)
		if err != nil {
			f.fail(ctx, err)
			return
		}
		f.answered.Add(1)
	}
}

const slowPath = "/slow?delay=8s"

func overHTTP1(conn io.ReadWriter) error {
	if _, err := io.WriteString(conn, "GET "+slowPath+" HTTP/1.1\r\nHost: stay.test\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 1024), nil)
	if err != nil {
		return err
	}
	return readAnswer(resp)
}

func overHTTP2(cc *http2.ClientConn) error {
	req, err := http.NewRequest(http.MethodGet, "https://stay.test"+slowPath, nil)
	if err != nil {
		return err
	}
	resp, err := cc.RoundTrip(req)
	if err != nil {
		return err
	}
	return readAnswer(resp)
}

func (f *flock) land() { f.wg.Wait() }

func readAnswer(resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("status %s: %.200s", resp.Status, body)
	}
	return err
}

// talk sends WebSocket messages and wants each back, until ctx is done.
func talk(ctx context.Context, client *http.Client) error {
	dial, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	h1 := *client
	h1.Timeout = 0
	transport := client.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	h1.Transport = transport
	c, _, err := websocket.Dial(dial, "wss://stay.test/ws", &websocket.DialOptions{HTTPClient: &h1})
	if err != nil {
		return fmt.Errorf("WebSocket: %w", err)
	}
	defer func() { _ = c.CloseNow() }()
	for i := 0; ctx.Err() == nil; i++ {
		message := fmt.Appendf(nil, "message %d", i)
		turn, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err := c.Write(turn, websocket.MessageText, message)
		if err == nil {
			var echo []byte
			_, echo, err = c.Read(turn)
			if err == nil && !bytes.Equal(echo, message) {
				err = fmt.Errorf("sent %q, got %q", message, echo)
			}
		}
		cancel()
		if err != nil {
			return fmt.Errorf("WebSocket after %d messages: %w", i, err)
		}
		time.Sleep(10 * time.Millisecond) // a conversation, not a flood
	}
	return nil
}

// download reads a large answer slowly, faster once ctx is done, and wants all of it.
func download(ctx context.Context, addr string, roots *x509.CertPool) error {
	const size = 64 << 20
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, ServerName: "stay.test", NextProtos: []string{"http/1.1"}})
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET /download?size=%d HTTP/1.1\r\nHost: stay.test\r\n\r\n", size); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	var got int64
	for {
		n, err := io.CopyN(io.Discard, resp.Body, 64<<10)
		got += n
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("download after %d bytes: %w", got, err)
		}
		if ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond) // a slow reader
		}
	}
	if got != size {
		return fmt.Errorf("download ended after %d of %d bytes as if it were whole", got, size)
	}
	return nil
}

func merge(maps ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// raiseFileLimit lets this process open as many connections as the test needs.
func raiseFileLimit(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: max(n, limit.Max)}); err != nil {
		t.Fatalf("this test opens %d connections; the limit is %d files (ulimit -n): %v", n, limit.Cur, err)
	}
}
