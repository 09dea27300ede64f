package tracing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// sender posts spans by OTLP over HTTP, in protobuf. OpenTelemetry's own sender brings
// the whole of gRPC along, which is 3 MB of the binary.
type sender struct {
	to      string
	headers http.Header
	client  http.Client
}

var _ otlptrace.Client = (*sender)(nil)

// sendTime bounds one request to the collector.
const sendTime = 10 * time.Second

// Start has nothing to do: connections are made when there is something to send.
func (s *sender) Start(context.Context) error {
	s.client.Timeout = sendTime
	return nil
}

// Stop closes connections.
func (s *sender) Stop(context.Context) error {
	s.client.CloseIdleConnections()
	return nil
}

// UploadTraces sends spans. On the wire, an ExportTraceServiceRequest is the same
// message as TracesData.
func (s *sender) UploadTraces(ctx context.Context, spans []*v1.ResourceSpans) error {
	message, err := proto.Marshal(&v1.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	// Not compressed, as is OpenTelemetry's default: collectors are near, and for each
	// span that would cost more than to make it.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.to, bytes.NewReader(message))
	if err != nil {
		return err
	}
	for name, values := range s.headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // and drained, so that the connection stays
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s: %s", resp.Status, strings.TrimSpace(strings.ToValidUTF8(string(said), "?")))
	}
	return nil
}

// headers reads OTEL_EXPORTER_OTLP_HEADERS: name=value, with commas between, values
// percent-encoded. Its error does not repeat them: they are mostly secrets.
func headers(text string) (http.Header, error) {
	all := http.Header{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || name == "" || err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS: not of the form name=value,name=value")
		}
		all.Add(name, value)
	}
	return all, nil
}
