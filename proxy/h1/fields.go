package h1

import (
	"bytes"

	"portway/proxy/exchange"
)

// maxNamed bounds the fields that Connection may name beside the usual options.
const maxNamed = 16

// section is what the field section of a head says about the connection and the
// message's framing; the rest of the fields is end-to-end.
type section struct {
	response bool // set before parse: Host and Expect mean nothing there

	host             []byte
	hasHost          bool
	length           int64 // Content-Length, -1 if absent
	chunked          bool
	close, keepAlive bool // Connection
	upgrading        bool // Connection: upgrade
	upgrade          []byte
	upgrades         int // Upgrade lines
	teTrailers       bool
	expect           []byte
	named            [maxNamed][]byte // by Connection, beside the usual options
	numNamed         int
}

// headEnd finds where the empty line behind a head ends; 0: not read yet, and
// then, complete lines end at next, from where the next look goes on. What has been
// read is looked at so far that garbage is refused at once and not when time runs
// out.
func headEnd(buf []byte, from int, limits Limits) (end, next int, err error) {
	before := max(from-len("\r\n"), 0)
	if i := bytes.Index(buf[before:], []byte("\r\n\r\n")); i >= 0 {
		end = before + i + len("\r\n\r\n")
		if end > limits.headBytes() {
			return 0, 0, tooLarge(buf)
		}
		return end, 0, nil
	}
	if len(buf) >= limits.headBytes() {
		return 0, 0, tooLarge(buf)
	}
	for {
		line := buf[from:]
		i := bytes.IndexByte(line, '\n')
		if i >= 0 {
			line = line[:i]
		}
		cr := bytes.IndexByte(line, '\r')
		switch {
		case cr >= 0 && cr != len(line)-1:
			return 0, 0, bad("bare CR in the head")
		case i >= 0 && cr < 0:
			return 0, 0, bad("line ends in a bare LF")
		case i < 0:
			return 0, from, nil
		}
		from += i + 1
	}
}

func tooLarge(buf []byte) error {
	if bytes.IndexByte(buf, '\n') < 0 {
		return &SyntaxError{Status: 414, Reason: "request target or start line too long"}
	}
	return &SyntaxError{Status: 431, Reason: "header fields too large"}
}

// cutLine cuts the next line, which must end in CRLF, off buf.
func cutLine(buf []byte) (line, rest []byte, err error) {
	i := bytes.IndexByte(buf, '\n')
	if i < 1 || buf[i-1] != '\r' {
		return nil, nil, bad("line ends in a bare LF")
	}
	return buf[:i-1], buf[i+1:], nil
}

// cutField splits a field line (RFC 9112 section 5).
func cutField(line []byte) (name, value []byte, err error) {
	i := 0
	for i < len(line) && class[line[i]]&isToken != 0 {
		i++
	}
	if i == len(line) || line[i] != ':' || i == 0 {
		return nil, nil, badName(line, i)
	}
	name, value = line[:i], trim(line[i+1:])
	if !ValidValue(value) {
		return nil, nil, bad("control character in the value of field %q", name)
	}
	return name, value, nil
}

// badName says what is wrong with the name of a field.
func badName(line []byte, i int) error {
	switch {
	case i == 0 && len(line) > 0 && (line[0] == ' ' || line[0] == '\t'):
		return bad("folded field line or white space before the first field")
	case i == len(line):
		return bad("field line without a colon")
	case i == 0 && line[0] == ':':
		return bad("field without a name")
	case line[i] == ' ' || line[i] == '\t':
		return bad("white space in or behind the name of a field")
	}
	return bad("character %s in the name of a field", char(line[i]))
}

// parse reads the field lines of a complete head, which ends with an empty
// line, and puts end-to-end fields into fields.
func (s *section) parse(buf []byte, fields *exchange.Fields, limits Limits) error {
	s.length = -1
	maxFields := limits.fields()
	for n := 0; ; n++ {
		line, rest, err := cutLine(buf)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		buf = rest
		if n == maxFields {
			return &SyntaxError{Status: 431, Reason: "too many header fields"}
		}
		name, value, err := cutField(line)
		if err != nil {
			return err
		}
		// Most names differ in length from all that matter here.
		taken := false
		switch len(name) {
		case 2, 4, 6, 7, 10, 14, 16, 17:
			if taken, err = s.take(name, value); err != nil {
				return err
			}
		}
		if !taken {
			fields.Add(name, value)
		}
	}
	if s.chunked && s.length >= 0 {
		return bad("both Transfer-Encoding and Content-Length")
	}
	if s.numNamed > 0 {
		fields.DelFunc(s.isNamed)
	}
	return nil
}

// take consumes a field that is not end-to-end.
func (s *section) take(name, value []byte) (taken bool, err error) {
	is := func(known string) bool { return exchange.EqualFold(name, known) }
	switch {
	case is("connection"):
		return true, s.takeConnection(value)
	case is("content-length"):
		if s.length >= 0 {
			return true, bad("more than one Content-Length")
		}
		s.length, err = parseLength(value)
		return true, err
	case is("transfer-encoding"):
		if s.chunked {
			return true, bad("more than one Transfer-Encoding")
		}
		if !exchange.EqualFold(value, "chunked") {
			return true, bad("Transfer-Encoding %q instead of chunked", value)
		}
		s.chunked = true
		return true, nil
	case is("upgrade"):
		s.upgrade = value
		s.upgrades++
		return true, nil
	case is("te"):
		s.takeTE(value)
		return true, nil
	case is("trailer"), is("keep-alive"), is("proxy-connection"):
		return true, nil
	}
	if s.response {
		return false, nil
	}
	switch {
	case is("host"):
		if s.hasHost {
			return true, bad("more than one Host")
		}
		s.host, s.hasHost = value, true
		return true, nil
	case is("expect"):
		if s.expect != nil {
			return true, &SyntaxError{Status: 417, Reason: "more than one Expect"}
		}
		s.expect = value
		return true, nil
	}
	return false, nil
}

// takeConnection notes the options of one Connection line (RFC 9110 section 7.6.1).
func (s *section) takeConnection(list []byte) error {
	for {
		option, rest, ok := nextToken(list)
		if !ok {
			return nil
		}
		list = rest
		switch {
		case exchange.EqualFold(option, "close"):
			s.close = true
		case exchange.EqualFold(option, "keep-alive"):
			s.keepAlive = true
		case exchange.EqualFold(option, "upgrade"):
			s.upgrading = true
		case exchange.EqualFold(option, "te"):
		case !ValidName(option):
			return bad("Connection option %q is not a token", option)
		default:
			if s.numNamed == maxNamed {
				return &SyntaxError{Status: 431, Reason: "Connection names too many fields"}
			}
			s.named[s.numNamed] = option
			s.numNamed++
		}
	}
}

// takeTE looks for "trailers" (RFC 9110 section 10.1.4); codings that the client
// would take do not matter, since we send none but chunked.
func (s *section) takeTE(list []byte) {
	for {
		coding, rest, ok := nextToken(list)
		if !ok {
			return
		}
		list = rest
		if exchange.EqualFold(coding, "trailers") {
			s.teTrailers = true
		}
	}
}

func (s *section) isNamed(name, _ []byte) bool {
	for _, option := range s.named[:s.numNamed] {
		if len(option) == len(name) && equalFold(option, name) {
			return true
		}
	}
	return false
}

// equalFold compares tokens of the same length without regard to case.
func equalFold(a, b []byte) bool {
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// parseLength parses Content-Length: digits only, and within int64.
func parseLength(value []byte) (int64, error) {
	// 18 digits are always within int64, and 10^18 bytes are an exabyte.
	if len(value) == 0 || len(value) > 18 || !all(value, isDigit) {
		return 0, bad("Content-Length %.40q is not a length", value)
	}
	n := int64(0)
	for _, c := range value {
		n = n*10 + int64(c-'0')
	}
	return n, nil
}
