package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// originServer answers with canned bytes and does as little as it can, so that
// the cores are left to the proxies: what is measured is their CPU time.
type originServer struct {
	tcp, grpc net.Listener
	rpc       *grpc.Server
	cacheable atomic.Int64 // requests for what caches keep
	wg        sync.WaitGroup
	mu        sync.Mutex
	conns     map[net.Conn]struct{}
}

var (
	body1k = bytes.Repeat([]byte("0123456789abcdef"), 64)
	body64 = bytes.Repeat(body1k, 64)
)

const bigBody = 10 << 20

func startOrigin(env *environment) (*originServer, error) {
	h, err := net.Listen("tcp", env.originAddr)
	if err != nil {
		return nil, err
	}
	g, err := net.Listen("tcp", env.grpcAddr)
	if err != nil {
		_ = h.Close()
		return nil, err
	}
	o := &originServer{tcp: h, grpc: g, rpc: grpc.NewServer(), conns: map[net.Conn]struct{}{}}
	testgrpc.RegisterTestServiceServer(o.rpc, interop.NewTestServer())
	o.wg.Go(func() { _ = o.rpc.Serve(g) })
	o.wg.Go(o.accept)
	return o, nil
}

// Close ends the origin with all its connections.
func (o *originServer) Close() {
	_ = o.tcp.Close()
	o.rpc.Stop()
	o.mu.Lock()
	for c := range o.conns {
		_ = c.Close()
	}
	o.mu.Unlock()
	o.wg.Wait()
}

func (o *originServer) accept() {
	for {
		c, err := o.tcp.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		o.conns[c] = struct{}{}
		o.mu.Unlock()
		o.wg.Go(func() {
			_ = o.serve(c)
			_ = c.Close()
			o.mu.Lock()
			delete(o.conns, c)
			o.mu.Unlock()
		})
	}
}

var (
	answer1k = append([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n"), body1k...)
	answerOK = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n")
	// Four chunks of 256 bytes in one write, as an application that streams makes them.
	answerChunked = func() []byte {
		b := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 4 {
			b = append(b, "100\r\n"...)
			b = append(b, body1k[:256]...)
			b = append(b, "\r\n"...)
		}
		return append(b, "0\r\n\r\n"...)
	}()
	// What caches keep, with the fields by which they decide that.
	answerKept1k, answerKept64k = kept(body1k), kept(body64)
	answerBig                   = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", bigBody)
)

// cachePath is where peers that have a cache use it.
const cachePath = "/cached/"

func kept(content []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"+
		"Cache-Control: max-age=86400\r\nETag: \"a\"\r\nVary: Accept-Encoding\r\nDate: %s\r\n\r\n", len(content), time.Now().UTC().Format(http.TimeFormat)), content...)
}

func (o *originServer) serve(c net.Conn) error {
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		parts := strings.Fields(line)
		if len(parts) < 2 {
			return errors.New("bad request line")
		}
		length, chunked, key := int64(0), false, ""
		for {
			h, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(h) <= 2 {
				break
			}
			name, value, _ := bytes.Cut(bytes.TrimRight(h, "\r\n"), []byte(":"))
			value = bytes.TrimSpace(value)
			switch {
			case bytes.EqualFold(name, []byte("content-length")):
				length, _ = strconv.ParseInt(string(value), 10, 64)
			case bytes.EqualFold(name, []byte("transfer-encoding")):
				chunked = true
			case bytes.EqualFold(name, []byte("sec-websocket-key")):
				key = string(value)
			}
		}
		if err := skipBody(r, length, chunked); err != nil {
			return err
		}
		switch path, _, _ := strings.Cut(parts[1], "?"); {
		case key != "":
			return serveEcho(c, r, key)
		case path == "/chunked":
			_, err = c.Write(answerChunked)
		case path == "/10m":
			_, err = c.Write(answerBig)
			for sent := 0; err == nil && sent < bigBody; sent += len(body64) {
				_, err = c.Write(body64)
			}
		case strings.HasPrefix(path, cachePath):
			o.cacheable.Add(1)
			answer := answerKept1k
			if path == cachePath+"64k" {
				answer = answerKept64k
			}
			_, err = c.Write(answer)
		case path == "/upload":
			_, err = c.Write(answerOK)
		default:
			_, err = c.Write(answer1k)
		}
		if err != nil {
			return err
		}
	}
}

func skipBody(r *bufio.Reader, length int64, chunked bool) error {
	if !chunked {
		_, err := io.CopyN(io.Discard, r, length)
		return err
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, r, n+2); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// serveEcho sends WebSocket frames back as they come: unmasked, payload under 126 bytes.
func serveEcho(c net.Conn, r *bufio.Reader, key string) error {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if _, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		return err
	}
	frame := make([]byte, 6+125)
	for {
		if _, err := io.ReadFull(r, frame[:6]); err != nil {
			return err
		}
		n := int(frame[1] & 0x7f)
		if n > 125 {
			return errors.New("frame too large for the bench's origin")
		}
		if _, err := io.ReadFull(r, frame[6:6+n]); err != nil {
			return err
		}
		out := append(make([]byte, 0, 2+n), frame[0], byte(n))
		for i := range n {
			out = append(out, frame[6+i]^frame[2+i%4])
		}
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
}

// waitListening returns once addr accepts connections.
func waitListening(ctx context.Context, addr string) error {
	return poll(ctx, func() error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
}
