package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// The cases of gRPC's own interoperability suite that need no Google account.
// They end the process when they fail, so each runs in a process of its own: this
// test's binary again, told by the environment what to do (see runGRPCCase).
var grpcCases = map[string]func(context.Context, *grpc.ClientConn){
	"empty_unary":                 service(interop.DoEmptyUnaryCall),
	"large_unary":                 service(interop.DoLargeUnaryCall),
	"client_streaming":            service(interop.DoClientStreaming),
	"server_streaming":            service(interop.DoServerStreaming),
	"ping_pong":                   service(interop.DoPingPong),
	"empty_stream":                service(interop.DoEmptyStream),
	"timeout_on_sleeping_server":  service(interop.DoTimeoutOnSleepingServer),
	"cancel_after_begin":          service(interop.DoCancelAfterBegin),
	"cancel_after_first_response": service(interop.DoCancelAfterFirstResponse),
	"custom_metadata":             service(interop.DoCustomMetadata),
	"status_code_and_message":     service(interop.DoStatusCodeAndMessage),
	"special_status_message":      service(interop.DoSpecialStatusMessage),
	"unimplemented_method":        interop.DoUnimplementedMethod,
	"unimplemented_service": func(ctx context.Context, cc *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
	},
}

type serviceCase func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)

func service(do serviceCase) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, cc *grpc.ClientConn) { do(ctx, testgrpc.NewTestServiceClient(cc)) }
}

const (
	grpcCaseEnv = "PORTWAY_E2E_GRPC_CASE"
	grpcAddrEnv = "PORTWAY_E2E_GRPC_ADDR"
	grpcRootEnv = "PORTWAY_E2E_GRPC_ROOT"
	grpcHost    = "grpc.test"
)

// runGRPCCase is the process of one case.
func runGRPCCase(name string) error {
	pem, err := os.ReadFile(os.Getenv(grpcRootEnv))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	cc, err := grpc.NewClient("passthrough:///"+os.Getenv(grpcAddrEnv), grpc.WithAuthority(grpcHost),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: grpcHost})))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	grpcCases[name](ctx, cc)
	return cc.Close()
}

func grpcCase(name, addr, root string) ([]byte, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), grpcCaseEnv+"="+name, grpcAddrEnv+"="+addr, grpcRootEnv+"="+root)
	return cmd.CombinedOutput()
}

// TestGRPCInterop runs gRPC's interoperability cases through Portway, and as a
// control through a proxy that drops trailers, where they must fail: a case that
// passes there would not tell anything.
func TestGRPCInterop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	routes := t.TempDir()
	writeFile(t, filepath.Join(routes, "grpc.yaml"), fmt.Sprintf("grpc:\n  host: %s\n  to: [\"h2c://%s\"]\n", grpcHost, l.Addr()))
	p := start(t, "--routes="+routes)
	waitStatus(t, p.client(t, nil), "https://"+grpcHost+"/", http.StatusUnsupportedMediaType) // gRPC's word for a browser
	root := filepath.Join(p.storage, "internal-ca", "root.crt")
	control, controlRoot := dropTrailers(t, l.Addr().String())

	for _, name := range slices.Sorted(maps.Keys(grpcCases)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := grpcCase(name, p.https, root); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"empty_unary", "large_unary", "server_streaming", "ping_pong"} {
			if _, err := grpcCase(name, control, controlRoot); err == nil {
				t.Errorf("%s passes without trailers", name)
			}
		}
	})
}

// dropTrailers is a proxy in front of the same server that loses trailers.
func dropTrailers(t *testing.T, origin string) (addr, root string) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: origin}) },
		Transport:     &http.Transport{Protocols: protocols},
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			r.Body = noTrailers{r.Body, r}
			return nil
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, root := selfSigned(t, grpcHost)
	s := &http.Server{Handler: proxy, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	go func() { _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String(), root
}

// noTrailers forgets the trailers once the body has been read.
type noTrailers struct {
	io.ReadCloser
	resp *http.Response
}

func (b noTrailers) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		clear(b.resp.Trailer)
	}
	return n, err
}
