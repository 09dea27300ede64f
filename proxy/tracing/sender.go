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
)

// sender posts spans by OTLP over HTTP, in protobuf.
type sender struct {
	to      string
	headers http.Header
	client  http.Client
}

// sendTime bounds one request to the collector.
const sendTime = 10 * time.Second

// close closes connections.
func (s *sender) close() { s.client.CloseIdleConnections() }

// send sends an ExportTraceServiceRequest.
func (s *sender) send(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
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
