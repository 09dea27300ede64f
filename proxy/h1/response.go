package h1

import "portway/proxy/exchange"

// ParseResponseHead parses one response head (interim ones too) from buf into
// resp: Status, Fields, Length. It returns how many bytes the head took, 0 and a
// nil error if buf does not hold all of it yet, or a *SyntaxError. Slices in resp
// point into buf. method is the request's: it decides, with the status, whether a
// body follows and how it is framed.
func ParseResponseHead(buf []byte, method []byte, resp *exchange.Response, limits Limits) (n int, framing Framing, err error) {
	if !couldBeResponse(buf) {
		return 0, framing, bad("%.20q is not the begin of an HTTP/1 response", buf)
	}
	end, _, err := headEnd(buf, 0, limits)
	if end == 0 {
		return 0, framing, err
	}
	line, rest, err := cutLine(buf[:end])
	if err != nil {
		return 0, framing, err
	}
	status, http10, err := parseStatusLine(line)
	if err != nil {
		return 0, framing, err
	}
	resp.Fields.Reset()
	s := section{response: true}
	if err := s.parse(rest, &resp.Fields, limits); err != nil {
		return 0, framing, err
	}
	resp.Status = status
	framing, resp.Length, err = s.finishResponse(string(method) == "HEAD", status, http10)
	return end, framing, err
}

// couldBeResponse compares what is there with the beginning of a status line.
func couldBeResponse(buf []byte) bool {
	const begin = "HTTP/1."
	n := min(len(buf), len(begin))
	return string(buf[:n]) == begin[:n]
}

// parseStatusLine parses "HTTP/1.x SP 3DIGIT SP reason". The last space is often
// missing together with the reason, which nobody can misread.
func parseStatusLine(line []byte) (status int, http10 bool, err error) {
	if len(line) < len("HTTP/1.1 200") || line[8] != ' ' || line[7] != '0' && line[7] != '1' {
		return 0, false, bad("%.40q is not an HTTP/1 status line", line)
	}
	code, reason := line[9:12], line[12:]
	if !all(code, isDigit) || code[0] < '1' || code[0] > '5' {
		return 0, false, bad("%.40q has no status code from 100 to 599", line)
	}
	if len(reason) > 0 && reason[0] != ' ' || !ValidValue(reason) {
		return 0, false, bad("%.40q has no clean reason phrase", line)
	}
	status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	return status, line[7] == '0', nil
}

// finishResponse decides how the message ends (RFC 9112 section 6.3).
func (s *section) finishResponse(head bool, status int, http10 bool) (f Framing, length int64, err error) {
	if s.chunked && http10 {
		return f, 0, bad("Transfer-Encoding in an HTTP/1.0 response")
	}
	f.KeepAlive = !s.close && (!http10 || s.keepAlive)
	if s.upgrading && s.upgrades == 1 {
		f.Upgrade = s.upgrade
	}
	switch {
	case status < 200 || status == 204:
		// Content is announced where there can be none: whatever follows is not
		// mistaken for the next answer.
		if s.chunked || s.length > 0 {
			f.KeepAlive = false
		}
		return f, 0, nil
	case head || status == 304:
		return f, s.length, nil // -1 is LengthUnknown
	case s.chunked:
		f.Kind = Chunked
		return f, exchange.LengthUnknown, nil
	case s.length > 0:
		f.Kind, f.Length = FixedLength, s.length
		return f, s.length, nil
	case s.length == 0:
		return f, 0, nil
	}
	f.Kind, f.KeepAlive = UntilClose, false
	return f, exchange.LengthUnknown, nil
}
