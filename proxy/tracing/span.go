package tracing

import (
	"encoding/hex"
	"math"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/encoding/protowire"

	"portway/proxy/observe"
)

// Numbers of fields in OpenTelemetry's protobuf messages (opentelemetry-proto, trace/v1,
// common/v1 and resource/v1). Spans are written without OpenTelemetry's SDK, which takes
// some 40 µs for each, most of it for memory.
const (
	spanTraceID, spanID, spanParentID          = 1, 2, 4
	spanName, spanKind, spanBegin, spanEnd     = 5, 6, 7, 8
	spanAttributes, spanStatus, spanFlags      = 9, 15, 16
	statusMessage, statusCode                  = 2, 3
	keyName, keyValue                          = 1, 2
	anyString, anyBool, anyInt, anyFloat       = 1, 2, 3, 4
	resourceAttributes                         = 1
	resourceSpansResource, resourceSpansScoped = 1, 2
	scopedScope, scopedSpans, scopeName        = 1, 2, 1
	tracesResourceSpans                        = 1
	kindServer, codeError                      = 2, 2
	flagSampled, flagParentKnown, flagFromAfar = 1, 0x100, 0x200
)

// appendSpan appends what is told of a request, as a message Span.
func appendSpan(b []byte, e observe.Event) []byte {
	ex := e.Exchange
	q := &ex.Request
	var id [8]byte
	var digits [16]byte
	_, _ = hex.Decode(id[:], ex.AppendRequestID(digits[:0]))
	b = appendBytes(b, spanTraceID, ex.Trace.ID[:])
	b = appendBytes(b, spanID, id[:])
	flags := uint32(flagSampled | flagParentKnown)
	if ex.Trace.Parent != [8]byte{} {
		b = appendBytes(b, spanParentID, ex.Trace.Parent[:])
		flags |= flagFromAfar
	}
	if method := text(q.Method); ex.RouteName == "" {
		b = appendBytes(b, spanName, method)
	} else {
		b = appendTag(b, spanName, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(method)+len(" ")+len(ex.RouteName)))
		b = append(append(append(b, method...), ' '), ex.RouteName...)
	}
	b = protowire.AppendVarint(appendTag(b, spanKind, protowire.VarintType), kindServer)
	begin := ex.Start.UnixNano()
	b = protowire.AppendFixed64(appendTag(b, spanBegin, protowire.Fixed64Type), uint64(begin))
	b = protowire.AppendFixed64(appendTag(b, spanEnd, protowire.Fixed64Type), uint64(begin+int64(e.Duration)))
	scheme := "http"
	if ex.Conn.TLS != nil {
		scheme = "https"
	}
	b = appendString(b, "http.request.method", text(q.Method))
	b = appendString(b, "url.scheme", scheme)
	b = appendString(b, "url.path", text(q.Path))
	b = appendString(b, "server.address", text(q.Authority))
	var address [64]byte
	b = appendString(b, "client.address", ex.AppendClientIP(address[:0]))
	b = appendString(b, "network.protocol.name", "http")
	b = appendString(b, "network.protocol.version", ex.Conn.Protocol.String()[len("HTTP/"):])
	b = appendInt(b, "http.response.status_code", int64(ex.Response.Status))
	b = appendInt(b, "http.response.body.size", e.Sent)
	if agent := q.Fields.Get("user-agent"); agent != nil {
		b = appendString(b, "user_agent.original", text(agent))
	}
	if ex.RouteName != "" {
		b = appendString(b, "portway.route", ex.RouteName)
	}
	if ex.Upstream != "" {
		b = appendString(b, "portway.upstream", ex.Upstream)
		b = appendFloat(b, "portway.upstream.duration", ex.UpstreamTime.Seconds())
	}
	switch {
	case e.Err != nil:
		why := text([]byte(e.Err.Error()))
		b = appendTag(b, spanStatus, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(len(why))+2))
		b = appendBytes(b, statusMessage, why)
		b = protowire.AppendVarint(appendTag(b, statusCode, protowire.VarintType), codeError)
	case ex.Response.Status >= 500:
		b = appendTag(b, spanStatus, protowire.BytesType)
		b = protowire.AppendVarint(append(b, 2), statusCode<<3|uint64(protowire.VarintType))
		b = protowire.AppendVarint(b, codeError)
	}
	return protowire.AppendFixed32(appendTag(b, spanFlags, protowire.Fixed32Type), flags)
}

// text is what a client sent, as UTF-8: with anything else in one span, all spans that are
// sent together with it would be lost.
func text(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	return []byte(strings.ToValidUTF8(string(b), "\uFFFD"))
}

func appendTag(b []byte, field protowire.Number, t protowire.Type) []byte {
	return protowire.AppendTag(b, field, t)
}

// appendBytes appends a field of bytes or text, or a message.
func appendBytes[T string | []byte](b []byte, field protowire.Number, value T) []byte {
	b = protowire.AppendVarint(appendTag(b, field, protowire.BytesType), uint64(len(value)))
	return append(b, value...)
}

// appendKey begins an attribute of a span, whose value follows as a message of that size.
func appendKey(b []byte, name string, size int) []byte {
	b = appendTag(b, spanAttributes, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(len(name))+1+protowire.SizeBytes(size)))
	b = appendBytes(b, keyName, name)
	b = appendTag(b, keyValue, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size))
}

func appendString[T string | []byte](b []byte, name string, value T) []byte {
	return appendBytes(appendKey(b, name, 1+protowire.SizeBytes(len(value))), anyString, value)
}

func appendInt(b []byte, name string, value int64) []byte {
	b = appendKey(b, name, 1+protowire.SizeVarint(uint64(value)))
	return protowire.AppendVarint(appendTag(b, anyInt, protowire.VarintType), uint64(value))
}

func appendFloat(b []byte, name string, value float64) []byte {
	b = appendKey(b, name, 1+protowire.SizeFixed64())
	return protowire.AppendFixed64(appendTag(b, anyFloat, protowire.Fixed64Type), math.Float64bits(value))
}

// appendResource appends who sends the spans, as a message Resource.
func appendResource(b []byte, all []attribute.KeyValue) []byte {
	for _, a := range all {
		var value []byte // a message AnyValue
		switch a.Value.Type() {
		case attribute.BOOL:
			value = protowire.AppendVarint(appendTag(nil, anyBool, protowire.VarintType), protowire.EncodeBool(a.Value.AsBool()))
		case attribute.INT64:
			value = protowire.AppendVarint(appendTag(nil, anyInt, protowire.VarintType), uint64(a.Value.AsInt64()))
		default:
			value = appendBytes(nil, anyString, a.Value.String())
		}
		pair := appendBytes(appendBytes(nil, keyName, string(a.Key)), keyValue, value)
		b = appendBytes(b, resourceAttributes, pair)
	}
	return b
}
