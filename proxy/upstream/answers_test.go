package upstream

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// What an origin may answer, and what must come of it. Every row runs three
// times: its answer in one write, in single bytes, and cut behind the head.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		name    string
		method  string // GET
		answer  string
		end     string // what the origin does then: "" waits for the next request, "close", "reset"
		status  int    // 200
		body    string
		length  int64
		fields  string
		trail   string
		interim string
		err     error
		text    string
		bodyErr error
		again   bool // the connection serves the next request
	}{
		{name: "fixed length", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello", body: "hello", length: 5, fields: "x=y", again: true},
		{name: "empty", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", again: true},
		{name: "no reason phrase", answer: "HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nno", status: 404, body: "no", length: 2, again: true},
		{name: "large", answer: "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000), body: strings.Repeat("x", 300000), length: 300000, again: true},
		{name: "close announced", answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", end: "close", body: "hello", length: 5},
		{name: "close announced but not done", answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", body: "hello", length: 5},
		{name: "HTTP/1.0 closes", answer: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", body: "hello", length: 5},
		{name: "HTTP/1.0 with keep-alive", answer: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", body: "hello", length: 5, again: true},
		{name: "until close", answer: "HTTP/1.1 200 OK\r\n\r\nhello", end: "close", body: "hello", length: -1},
		{name: "chunked", answer: chunked + "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", body: "hello world", length: -1, again: true},
		{name: "chunked, empty", answer: chunked + "0\r\n\r\n", length: -1, again: true},
		{name: "chunked with trailers", answer: chunked + "2\r\nhi\r\n0\r\nA: 1\r\nB: 2\r\n\r\n", body: "hi", length: -1, trail: "a=1 b=2", again: true},
		{name: "chunked, large", answer: chunked + strings.Repeat("2710\r\n"+strings.Repeat("y", 10000)+"\r\n", 20) + "0\r\n\r\n", body: strings.Repeat("y", 200000), length: -1, again: true},
		{name: "HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", length: 5000, again: true},
		{name: "HEAD of chunked", method: "HEAD", answer: chunked, length: -1, again: true},
		{name: "HEAD answered with a body", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", length: 5},
		{name: "204", answer: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, again: true},
		{name: "304", answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", status: 304, length: 77, again: true},
		{name: "304 with a body", answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", status: 304, length: 5},
		{name: "100 is swallowed", answer: "HTTP/1.1 100 Continue\r\n\r\n" + okAnswer, body: "ok", length: 2, again: true},
		{name: "103 is passed on", answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + okAnswer, body: "ok", length: 2, interim: "103 link=</a>; 102", again: true},
		{name: "too many 1xx", answer: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100) + okAnswer, interim: strings.Repeat("102; ", 63) + "102", err: ErrProtocol, text: "more than 64 interim answers"},
		{name: "101 nobody asked for", answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", err: ErrProtocol, text: "nobody asked for"},

		// Surplus bytes would be taken for the answer to the next request.
		{name: "surplus behind fixed length", answer: okAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", body: "ok", length: 2},
		{name: "surplus behind chunked", answer: chunked + "2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", body: "hi", length: -1},
		{name: "surplus behind 204", answer: "HTTP/1.1 204 No Content\r\n\r\nx", status: 204},
		{name: "surplus behind a large body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000) + okAnswer, body: strings.Repeat("x", 100000), length: 100000},

		{name: "garbage", answer: "220 mail.example ESMTP\r\n", err: ErrProtocol, text: "not HTTP/1.1"},
		{name: "HTTP/2 preface", answer: "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", err: ErrProtocol, text: "portway.scheme: h2c"},
		{name: "TLS alert", answer: "\x15\x03\x01\x00\x02\x02\x46", end: "close", err: ErrProtocol, text: "portway.scheme: https"},
		{name: "nginx wants TLS", answer: "HTTP/1.1 400 Bad Request\r\nContent-Length: 61\r\n\r\n<center>The plain HTTP request was sent to HTTPS port</center>", err: ErrProtocol, text: "portway.scheme: https"},
		{name: "Go wants TLS", answer: "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", end: "close", err: ErrProtocol, text: "portway.scheme: https"},
		{name: "400 of another kind", answer: "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad", status: 400, body: "bad", length: 3, again: true},
		{name: "both framings", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", err: ErrProtocol},
		{name: "two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", err: ErrProtocol},
		{name: "huge head", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70000) + "\r\n\r\n", err: ErrProtocol, text: "head of more than 64 KiB"},
		{name: "too many fields", answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1000) + "\r\n", err: ErrProtocol},
		{name: "a head that just fits", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + strings.Repeat("x", 60000) + "\r\n\r\nok", body: "ok", length: 2, fields: "x=" + strings.Repeat("x", 60000), again: true},

		{name: "half a head, closed", answer: "HTTP/1.1 200 OK\r\nContent-Le", end: "close", err: ErrProtocol, text: "in the middle of an answer's head"},
		{name: "half a head, reset", answer: "HTTP/1.1 200 OK\r\nContent-Le", end: "reset", text: "in the middle of an answer's head", err: ErrProtocol},
		{name: "closed in a fixed body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", end: "close", body: "hel", length: 5, bodyErr: io.ErrUnexpectedEOF},
		{name: "closed in a chunk", answer: chunked + "5\r\nhel", end: "close", body: "hel", length: -1, bodyErr: io.ErrUnexpectedEOF},
		{name: "closed before the last chunk", answer: chunked + "5\r\nhello\r\n", end: "close", body: "hello", length: -1, bodyErr: io.ErrUnexpectedEOF},
		{name: "bad chunk size", answer: chunked + "2\r\nhi\r\nx\r\n", body: "hi", length: -1, bodyErr: ErrProtocol},
		{name: "bad trailer", answer: chunked + "2\r\nhi\r\n0\r\nno colon\r\n\r\n", body: "hi", length: -1, bodyErr: ErrProtocol},
	}
	cuts := map[string]func(net.Conn, string){
		"whole": say,
		"bytes": func(c net.Conn, s string) {
			for i := 0; i < len(s); {
				n := 1
				if i > 300 && len(s)-i > 300 { // the middle of what is long, faster
					n = 200
				}
				say(c, s[i:i+n])
				i += n
			}
		},
		"head": func(c net.Conn, s string) {
			head, rest, _ := strings.Cut(s, "\r\n\r\n")
			say(c, head+"\r\n\r\n")
			say(c, rest)
		},
	}
	for _, tt := range tests {
		for cut, write := range cuts {
			if cut == "head" && !strings.Contains(tt.answer, "\r\n\r\n") {
				continue
			}
			if cut != "whole" && strings.Contains(tt.text, "portway.scheme") {
				continue // a hint needs more than the first byte
			}
			t.Run(tt.name+"/"+cut, func(t *testing.T) {
				t.Parallel()
				o := listen(t, func(c net.Conn, r *bufio.Reader, n int) {
					if n > 0 {
						answerAll(c, r, n)
						return
					}
					if !skipRequest(r) {
						return
					}
					write(c, tt.answer)
					switch tt.end {
					case "reset":
						reset(c)
					case "close":
					default:
						answerAll(c, r, n)
					}
				})
				p := o.pool(t, Config{})
				ex := newExchange(cmp.Or(tt.method, "GET"), "/")
				f := &front{}
				ex.Front = f
				res := run(p, ex)
				if f.String() != tt.interim {
					t.Errorf("interim answers %q, want %q", f, tt.interim)
				}
				if tt.err != nil {
					wantErr(t, res.err, tt.err, tt.text)
				} else if res.err != nil {
					t.Errorf("error %v", res.err)
				} else if res.status != cmp.Or(tt.status, 200) || res.body != tt.body || res.length != tt.length || res.fields != tt.fields || res.trailers != tt.trail {
					t.Errorf("got %.300s", strconv.Quote(res.fields+res.body)+strconv.Itoa(res.status)+" length "+strconv.Itoa(int(res.length))+" trailers "+res.trailers)
				}
				if !errors.Is(res.bodyErr, tt.bodyErr) || (res.bodyErr != nil) != (tt.bodyErr != nil) {
					t.Errorf("body error %v, want %v", res.bodyErr, tt.bodyErr)
				}
				if res.bodyErr != nil && !errors.Is(res.bodyErr, io.ErrUnexpectedEOF) {
					t.Errorf("body error %v does not say that the body was cut off", res.bodyErr)
				}
				if !tt.again {
					// Surplus may still be on its way. Once here, it must be noticed.
					eventually(t, "arrival of the surplus", p.staleIdle)
				}
				mustGet(t, p)
				if n := o.accepted.Load(); (n == 1) != tt.again {
					t.Errorf("%d connections, reuse wanted: %v", n, tt.again)
				}
			})
		}
	}
}

// staleIdle tells whether every idle connection is stale.
func (p *Pool) staleIdle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		if !c.stale() {
			return false
		}
	}
	return true
}
