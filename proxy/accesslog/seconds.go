package accesslog

import (
	"sync/atomic"
	"time"
)

// seconds writes times, and keeps the text of the newest second: nearly all requests of
// a moment begin in the same one.
type seconds struct {
	layout string // to the second
	last   atomic.Pointer[second]
}

type second struct {
	unix int64
	text string
}

func (s *seconds) append(b []byte, t time.Time) []byte {
	unix := t.Unix()
	last := s.last.Load()
	switch {
	case last != nil && last.unix == unix:
	case last != nil && last.unix > unix: // it took long
		return t.AppendFormat(b, s.layout)
	default:
		last = &second{unix, t.Format(s.layout)}
		s.last.Store(last)
	}
	return append(b, last.text...)
}

// appendFraction appends a point and what of a second has passed, without zeros at its end.
func appendFraction(b []byte, ns int) []byte {
	if ns == 0 {
		return b
	}
	digits := [10]byte{'.'}
	for i := 9; i > 0; i-- {
		digits[i] = byte('0' + ns%10)
		ns /= 10
	}
	n := len(digits)
	for digits[n-1] == '0' {
		n--
	}
	return append(b, digits[:n]...)
}
