package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"portway/proxy/exchange"
	"portway/proxy/upstream"
)

// The gRPC health protocol: grpc/health/v1/health.proto, and "gRPC over HTTP2" for
// how its messages travel.
const (
	grpcMethod = "/grpc.health.v1.Health/Check"
	grpcType   = "application/grpc"
	frameHead  = 5 // whether compressed, and the length of the message
	maxAnswer  = 4 << 10

	fieldService = 1 // of HealthCheckRequest
	fieldStatus  = 1 // of HealthCheckResponse
	serving      = 1 // of ServingStatus
)

// askGRPC passes if the service is SERVING.
func askGRPC(ctx context.Context, o *Options, cfg upstream.Config) error {
	if cfg.Scheme == "http" {
		cfg.Scheme = "h2c" // there is no gRPC over HTTP/1.1
	}
	message := grpcRequest(o.service)
	return roundTrip(ctx, cfg, func(q *exchange.Request) {
		q.Method, q.Path = []byte("POST"), []byte(grpcMethod)
		q.Authority = []byte(hostFor(o, &cfg))
		q.TETrailers = true
		q.Fields.AddString("Content-Type", grpcType)
		q.Fields.AddString("User-Agent", userAgent)
		q.Length, q.Body = int64(len(message)), exchange.BytesBody(message)
	}, judgeGRPC)
}

// grpcRequest is a HealthCheckRequest in its frame.
func grpcRequest(service string) []byte {
	b := make([]byte, frameHead, frameHead+2+len(service))
	if service != "" { // as proto3 has it, a default value is left out
		b = protowire.AppendTag(b, fieldService, protowire.BytesType)
		b = protowire.AppendString(b, service)
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-frameHead))
	return b
}

// judgeGRPC reads the answer to a health check.
func judgeGRPC(ex *exchange.Exchange) error {
	p := &ex.Response
	if p.Status != 200 {
		return fmt.Errorf("the answer has the HTTP status %d, so it is not from a gRPC server", p.Status)
	}
	body, err := readAll(ex, maxAnswer)
	if err != nil {
		return err
	}
	code, message := p.Trailers.Get("grpc-status"), p.Trailers.Get("grpc-message")
	if code == nil { // in an answer without content, the head is all there is
		code, message = p.Fields.Get("grpc-status"), p.Fields.Get("grpc-message")
	}
	switch string(code) {
	case "":
		return errors.New("the answer has no grpc-status, so it is not from a gRPC server")
	case "0":
	case "5":
		return errors.New("the server does not know that service (health.service)")
	case "12":
		return errors.New("the server does not offer grpc.health.v1.Health; register it there, or use health: tcp")
	default:
		return fmt.Errorf("grpc-status %.10q %.200q", code, message)
	}
	status, err := grpcAnswer(body)
	if err == nil && status != serving {
		err = fmt.Errorf("the service is %s", servingStatus(status))
	}
	return err
}

// grpcAnswer reads the status from a HealthCheckResponse in its frame.
func grpcAnswer(b []byte) (status uint64, err error) {
	broken := errors.New("the answer is no HealthCheckResponse")
	if len(b) < frameHead || b[0] != 0 || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-frameHead) {
		return 0, broken
	}
	for b = b[frameHead:]; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, broken
		}
		b = b[n:]
		if number == fieldStatus && kind == protowire.VarintType {
			status, n = protowire.ConsumeVarint(b)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return 0, broken
		}
		b = b[n:]
	}
	return status, nil
}

// servingStatus names a ServingStatus.
func servingStatus(n uint64) string {
	switch n {
	case 0:
		return "UNKNOWN"
	case serving:
		return "SERVING"
	case 2:
		return "NOT_SERVING"
	case 3:
		return "SERVICE_UNKNOWN"
	}
	return "in state " + strconv.FormatUint(n, 10)
}
