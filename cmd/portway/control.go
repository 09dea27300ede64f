package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// controlTimeout bounds one question over the control socket; Docker gives a
// health check 30 s.
const controlTimeout = 5 * time.Second

// idleTimeout is how long a connection without a question stays open: over TCP anybody
// can open some, and each takes a descriptor that the proxy may need.
const idleTimeout = time.Minute

// contentTimeout is how long the content of a question may take, for the same reason; all
// there is are small.
const contentTimeout = 10 * time.Second

// limitContent bounds the time in which the content of a request has to come, whether
// somebody reads it or not: net/http waits for it before it answers, or after that.
func limitContent(h http.Handler, limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			h.ServeHTTP(w, r)
			return
		}
		c := http.NewResponseController(w)
		if c.SetReadDeadline(time.Now().Add(limit)) == nil {
			r.Body = &limitedContent{r.Body, c}
		}
		h.ServeHTTP(w, r)
	})
}

// limitedContent lifts the limit at the end of the content, since an answer may take longer.
type limitedContent struct {
	io.ReadCloser
	c *http.ResponseController
}

func (l *limitedContent) Read(b []byte) (int, error) {
	n, err := l.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		_ = l.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

// listenControl opens the control socket for the user of this process only. A
// socket that a killed Portway left behind is replaced, one that somebody
// answers at is not.
func listenControl(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if conn, err := net.DialTimeout("unix", path, controlTimeout); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another Portway answers at %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// serveControl answers over l until ctx is done.
func serveControl(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler:           limitContent(h, contentTimeout),
		ReadHeaderTimeout: controlTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	var g errgroup.Group
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("control socket: %w", err)
		}
		return nil
	})
	<-ctx.Done()
	_ = server.Close()
	return g.Wait()
}

// ask sends GET path to the Portway that listens at the control socket. The
// error says what to do if none does.
func ask(socket, path string) (status int, body []byte, err error) {
	return send(socket, http.MethodGet, path, nil, controlTimeout)
}

// tell sends content, which is JSON, to path.
func tell(socket, path string, content []byte) (status int, body []byte, err error) {
	return send(socket, http.MethodPost, path, content, controlTimeout)
}

func send(socket, method, path string, content []byte, limit time.Duration) (status int, body []byte, err error) {
	if socket == off {
		return 0, nil, errors.New("the control socket is off; set it by --control or PORTWAY_CONTROL")
	}
	request, err := http.NewRequest(method, "http://portway"+path, bytes.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	resp, err := controlClient(socket, limit).Do(request)
	if err != nil {
		return 0, nil, noPortway(socket, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, body, err
}

// askJSON is ask for an answer that must be 200 and JSON.
func askJSON(socket, path string, into any) error {
	status, body, err := ask(socket, path)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return json.Unmarshal(body, into)
}

func controlClient(socket string, limit time.Duration) *http.Client {
	return &http.Client{
		Timeout: limit,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		},
	}
}

func noPortway(socket string, err error) error {
	return fmt.Errorf("no Portway answers at %s (is it running, and with the same --control?): %w", socket, errors.Unwrap(err))
}
