package h2

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"portway/proxy/exchange"
)

// forwarder is the smallest proxy that gRPC can pass: x/net's client towards an
// origin without TLS.
type forwarder struct {
	addr      string
	transport *http.Transport
	trailers  bool // false: they get lost
}

func forwardTo(t testing.TB, addr string) *forwarder {
	f := &forwarder{addr: addr, trailers: true, transport: &http.Transport{Protocols: new(http.Protocols)}}
	f.transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(f.transport.CloseIdleConnections)
	return f
}

func (f *forwarder) Serve(ex *exchange.Exchange) {
	q, p := &ex.Request, &ex.Response
	var body io.Reader
	if q.Body != nil {
		body = q.Body
	}
	req, err := http.NewRequestWithContext(ex.Context(), string(q.Method), "http://"+f.addr+string(q.Path), body)
	if err != nil {
		text(ex, 500, err.Error())
		return
	}
	req.Host = string(q.Authority)
	req.ContentLength = q.Length
	for name, value := range q.Fields.All() {
		req.Header.Add(string(name), string(value))
	}
	if q.TETrailers {
		req.Header.Set("Te", "trailers")
	}
	res, err := f.transport.RoundTrip(req)
	if err != nil {
		text(ex, 502, err.Error())
		return
	}
	p.Status, p.Length = res.StatusCode, res.ContentLength
	add(&p.Fields, res.Header)
	p.Body = &forwarded{ReadCloser: res.Body, f: f, ex: ex, res: res}
}

func add(f *exchange.Fields, h http.Header) {
	for name, values := range h {
		for _, value := range values {
			f.AddString(name, value)
		}
	}
}

type forwarded struct {
	io.ReadCloser
	f   *forwarder
	ex  *exchange.Exchange
	res *http.Response
}

func (b *forwarded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if isEOF(err) && b.f.trailers && b.ex.Response.Trailers.Len() == 0 {
		add(&b.ex.Response.Trailers, b.res.Trailer)
	}
	return n, err
}

// grpcThrough starts gRPC's own test service behind a forwarder, and gives a
// client for it.
func grpcThrough(t *testing.T) (*grpc.ClientConn, *forwarder, *testServer) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	origin := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(origin, interop.NewTestServer())
	go func() { _ = origin.Serve(l) }()
	t.Cleanup(origin.Stop)
	f := forwardTo(t, l.Addr().String())
	ts := serve(t, true, &Server{Handler: f})
	cc, err := grpc.NewClient(ts.addr, grpc.WithTransportCredentials(credentials.NewTLS(clientTLS())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc, f, ts
}

// TestGRPC runs gRPC's interoperability cases. (A case that fails ends the whole
// test process with its reason; that is how they are written.)
func TestGRPC(t *testing.T) {
	t.Parallel()
	cc, _, ts := grpcThrough(t)
	tc, un := testgrpc.NewTestServiceClient(cc), testgrpc.NewUnimplementedServiceClient(cc)
	for name, run := range map[string]func(ctx context.Context){
		"empty_unary":                 func(ctx context.Context) { interop.DoEmptyUnaryCall(ctx, tc) },
		"large_unary":                 func(ctx context.Context) { interop.DoLargeUnaryCall(ctx, tc) },
		"client_streaming":            func(ctx context.Context) { interop.DoClientStreaming(ctx, tc) },
		"server_streaming":            func(ctx context.Context) { interop.DoServerStreaming(ctx, tc) },
		"ping_pong":                   func(ctx context.Context) { interop.DoPingPong(ctx, tc) },
		"empty_stream":                func(ctx context.Context) { interop.DoEmptyStream(ctx, tc) },
		"timeout_on_sleeping_server":  func(ctx context.Context) { interop.DoTimeoutOnSleepingServer(ctx, tc) },
		"cancel_after_begin":          func(ctx context.Context) { interop.DoCancelAfterBegin(ctx, tc) },
		"cancel_after_first_response": func(ctx context.Context) { interop.DoCancelAfterFirstResponse(ctx, tc) },
		"custom_metadata":             func(ctx context.Context) { interop.DoCustomMetadata(ctx, tc) },
		"status_code_and_message":     func(ctx context.Context) { interop.DoStatusCodeAndMessage(ctx, tc) },
		"special_status_message":      func(ctx context.Context) { interop.DoSpecialStatusMessage(ctx, tc) },
		"unimplemented_method":        func(ctx context.Context) { interop.DoUnimplementedMethod(ctx, cc) },
		"unimplemented_service":       func(ctx context.Context) { interop.DoUnimplementedService(ctx, un) },
	} {
		t.Run(name, func(*testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			run(ctx)
		})
	}
	waitFor(t, "streams to end", func() bool { return ts.open() == 0 })
}

// TestGRPCControl loses the trailers, and expects gRPC to notice: so TestGRPC
// would, too.
func TestGRPCControl(t *testing.T) {
	t.Parallel()
	cc, f, _ := grpcThrough(t)
	tc := testgrpc.NewTestServiceClient(cc)
	f.trailers = false
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := tc.EmptyCall(ctx, &testgrpc.Empty{})
	if status.Code(err) != codes.Internal && status.Code(err) != codes.Unknown {
		t.Errorf("call without trailers: %v", err)
	}
}

// TestGRPCCancelReachesOrigin ends calls from the client's side, one by one and
// all at once by closing the connection.
func TestGRPCCancelReachesOrigin(t *testing.T) {
	t.Parallel()
	cc, _, ts := grpcThrough(t)
	tc := testgrpc.NewTestServiceClient(cc)
	var cancels []context.CancelFunc
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		call, err := tc.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := call.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: 100}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Recv(); err != nil {
			t.Fatal(err)
		}
		cancels = append(cancels, cancel)
	}
	for i, cancel := range cancels[:10] {
		cancel()
		waitFor(t, "a call to end", func() bool { return ts.open() == 2*(19-i) })
	}
	for _, c := range ts.conns.All(nil) {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // as if the client had gone
	}
	waitFor(t, "all calls to end", func() bool { return ts.open() == 0 })
}
