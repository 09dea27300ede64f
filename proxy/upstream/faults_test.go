package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// faulty answers with the request's own path and body, in all manners, or
// misbehaves.
func faulty(c net.Conn, r *bufio.Reader, n int) {
	rnd := rand.New(rand.NewPCG(uint64(n), 7))
	for {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		content := q.RequestURI + " " + string(body) + strings.Repeat("x", []int{0, 10, 5000, 100000}[rnd.IntN(4)])
		fixed := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(content), content)
		switch rnd.IntN(30) {
		case 0:
			return
		case 1:
			reset(c)
			return
		case 2:
			say(c, fixed[:rnd.IntN(len(fixed))])
			return
		case 3: // two answers to one request
			say(c, fixed+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		case 4:
			say(c, fixed)
			return
		case 5:
			say(c, fixed)
			reset(c)
			return
		case 6:
			say(c, "garbage\r\n\r\n")
		case 7, 8, 9, 10:
			say(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(content), content))
			say(c, "0\r\n\r\n")
		case 11:
			say(c, "HTTP/1.1 103 Early Hints\r\n\r\n"+fixed)
		case 12:
			say(c, "HTTP/1.1 200 OK\r\n\r\n"+content)
			return
		default:
			say(c, fixed)
		}
	}
}

// Whatever an origin does, and whenever clients go away: a whole answer is the
// answer to the own request, and nothing is left behind.
func TestNoMixUp(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 4} {
		o := listen(t, faulty)
		p := o.pool(t, Config{MaxConns: limit, DialTimeout: time.Minute})
		stop := make(chan struct{})
		var sweeper, clients sync.WaitGroup
		sweeper.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					p.Sweep(time.Now())
				}
			}
		})
		var good, bad atomic.Int32
		for client := range 16 {
			clients.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(client), 8))
				for i := range 60 {
					path := fmt.Sprintf("/%d/%d", client, i)
					ex := newExchange("GET", path)
					want := path + " "
					switch rnd.IntN(4) {
					case 0:
						ex = withBody(newExchange("POST", path), "small")
						want += "small"
					case 1:
						ex = withBody(newExchange("POST", path), strings.Repeat("y", 40000))
						want += strings.Repeat("y", 40000)
					case 2:
						ex = withBody(newExchange("POST", path), strings.Repeat("z", 100))
						ex.Request.Length = exchange.LengthUnknown
						want += strings.Repeat("z", 100)
					}
					if rnd.IntN(10) == 0 {
						after := time.Duration(rnd.IntN(300)) * time.Microsecond
						ex.Go(func() { time.Sleep(after); ex.Cancel(exchange.ErrClientGone) })
					}
					res := run(p, ex)
					if res.err != nil || res.bodyErr != nil {
						bad.Add(1)
						continue
					}
					good.Add(1)
					if rest, ok := strings.CutPrefix(res.body, want); !ok || strings.Trim(rest, "x") != "" {
						t.Errorf("%s got %.60q", path, res.body)
					}
				}
			})
		}
		clients.Wait()
		close(stop)
		sweeper.Wait()
		if g, b := good.Load(), bad.Load(); g < 2*b || b == 0 {
			t.Errorf("%d good, %d bad", g, b)
		}
		if s := p.Stats(); s.Busy != 0 || len(p.waiters) != 0 || p.dialing != 0 {
			t.Errorf("%+v, %d waiters, %d dialing", s, len(p.waiters), p.dialing)
		}
	}
}

// The same over HTTP/2, where a fault hits all streams of a connection.
func TestNoMixUp2(t *testing.T) {
	t.Parallel()
	var count atomic.Int32
	o := listenH2C(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		switch count.Add(1) % 50 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			_, _ = io.WriteString(w, "cut off")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case 2:
			w.Header().Set("Connection", "close") // GOAWAY
		}
		_, _ = fmt.Fprintf(w, "%s %s", r.RequestURI, body)
	})
	p := o.pool(t, Config{Scheme: "h2c", DialTimeout: time.Minute})
	var clients sync.WaitGroup
	var good, bad atomic.Int32
	for client := range 16 {
		clients.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(client), 9))
			for i := range 30 {
				path := fmt.Sprintf("/%d/%d", client, i)
				ex := withBody(newExchange("POST", path), path)
				if rnd.IntN(2) == 0 {
					ex.Request.Length = exchange.LengthUnknown
				}
				if rnd.IntN(10) == 0 {
					after := time.Duration(rnd.IntN(500)) * time.Microsecond
					ex.Go(func() { time.Sleep(after); ex.Cancel(exchange.ErrClientGone) })
				}
				res := run(p, ex)
				if err := errors.Join(res.err, res.bodyErr); err != nil {
					bad.Add(1)
				} else if good.Add(1); res.body != path+" "+path {
					t.Errorf("%s got %.60q", path, res.body)
				}
			}
		})
	}
	clients.Wait()
	if g, b := good.Load(), bad.Load(); g < 2*b || b == 0 {
		t.Errorf("%d good, %d bad", g, b)
	}
	if s := p.Stats(); s.Busy != 0 {
		t.Errorf("%+v", s)
	}
}
