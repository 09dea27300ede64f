package h2

import (
	"encoding/binary"
	"fmt"
)

// Sizes of RFC 9113.
const (
	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	headerLen     = 9
	maxFrame      = 16 << 10 // largest payload that we take, and the default of peers
	maxWindow     = 1<<31 - 1
	defaultWindow = 65535
	settingLen    = 6
	priorityLen   = 5
)

type frameType uint8

const (
	frameData frameType = iota
	frameHeaders
	framePriority
	frameRSTStream
	frameSettings
	framePushPromise
	framePing
	frameGoAway
	frameWindowUpdate
	frameContinuation
)

// Flags; their meaning depends on the type.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// Identifiers of settings.
const (
	settingHeaderTableSize       = 0x1
	settingEnablePush            = 0x2
	settingMaxConcurrentStreams  = 0x3
	settingInitialWindowSize     = 0x4
	settingMaxFrameSize          = 0x5
	settingMaxHeaderListSize     = 0x6
	settingEnableConnectProtocol = 0x8 // RFC 8441
)

type errCode uint32

const (
	codeNo              errCode = 0x0
	codeProtocol        errCode = 0x1
	codeInternal        errCode = 0x2
	codeFlowControl     errCode = 0x3
	codeSettingsTimeout errCode = 0x4
	codeStreamClosed    errCode = 0x5
	codeFrameSize       errCode = 0x6
	codeRefusedStream   errCode = 0x7
	codeCancel          errCode = 0x8
	codeCompression     errCode = 0x9
	codeConnect         errCode = 0xa
	codeEnhanceYourCalm errCode = 0xb
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
	"CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func (c errCode) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("error 0x%x", uint32(c))
}

// connError ends the connection with GOAWAY (RFC 9113 section 5.4.1).
type connError struct {
	code   errCode
	reason string
}

func (e *connError) Error() string { return e.code.String() + ": " + e.reason }

// streamError is why a stream was reset, by the client or by us.
type streamError struct {
	code   errCode
	reason string // empty if the client did it
}

func (e *streamError) Error() string {
	if e.reason == "" {
		return "client reset the stream: " + e.code.String()
	}
	return "stream reset with " + e.code.String() + ": " + e.reason
}

type frameHeader struct {
	length int
	typ    frameType
	flags  uint8
	stream uint32
}

func parseFrameHeader(b []byte) frameHeader {
	_ = b[8]
	return frameHeader{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		typ:    frameType(b[3]),
		flags:  b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & maxWindow,
	}
}

func (h frameHeader) has(flag uint8) bool { return h.flags&flag != 0 }

func appendFrameHeader(b []byte, length int, typ frameType, flags uint8, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), byte(typ), flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// putFrameHeader overwrites the header at the front of b.
func putFrameHeader(b []byte, length int, typ frameType, flags uint8, stream uint32) {
	appendFrameHeader(b[:0:headerLen], length, typ, flags, stream)
}

func appendRSTStream(b []byte, stream uint32, code errCode) []byte {
	b = appendFrameHeader(b, 4, frameRSTStream, 0, stream)
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

func appendWindowUpdate(b []byte, stream uint32, n int) []byte {
	b = appendFrameHeader(b, 4, frameWindowUpdate, 0, stream)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendGoAway(b []byte, last uint32, code errCode, reason string) []byte {
	b = appendFrameHeader(b, 8+len(reason), frameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(code))
	return append(b, reason...)
}

func appendPing(b []byte, ack bool, data []byte) []byte {
	var flags uint8
	if ack {
		flags = flagAck
	}
	return append(appendFrameHeader(b, 8, framePing, flags, 0), data[:8]...)
}

type setting struct {
	id    uint16
	value uint32
}

func appendSettings(b []byte, settings ...setting) []byte {
	b = appendFrameHeader(b, settingLen*len(settings), frameSettings, 0, 0)
	for _, s := range settings {
		b = binary.BigEndian.AppendUint16(b, s.id)
		b = binary.BigEndian.AppendUint32(b, s.value)
	}
	return b
}
