package policy

import (
	"bytes"
	"time"
)

// ParseDate reads an HTTP-date in any of its three forms (RFC 9110 section 5.6.7),
// in any case (RFC 9111 section 4.2). now resolves years of two digits. ok is false
// for anything else, other time zones included.
func ParseDate(b []byte, now time.Time) (t time.Time, ok bool) {
	comma := bytes.IndexByte(b, ',')
	switch {
	case comma == 3:
		return imfDate(b)
	case comma > 3:
		return rfc850Date(b, comma, now)
	}
	return asctimeDate(b)
}

// imfDate reads "Sun, 06 Nov 1994 08:49:37 GMT".
func imfDate(b []byte) (time.Time, bool) {
	const form = "Sun, 06 Nov 1994 08:49:37 GMT"
	if len(b) != len(form) || !weekday(b[:3], 3) || string(b[3:5]) != ", " || b[7] != ' ' || b[11] != ' ' || b[16] != ' ' || !gmt(b[25:]) {
		return time.Time{}, false
	}
	return date(number(b[12:16]), b[8:11], number(b[5:7]), b[17:25])
}

// rfc850Date reads "Sunday, 06-Nov-94 08:49:37 GMT". A year that would be more than
// 50 years ahead is one of the past century.
func rfc850Date(b []byte, comma int, now time.Time) (time.Time, bool) {
	const form = ", 06-Nov-94 08:49:37 GMT"
	day, b := b[:comma], b[comma:]
	if len(b) != len(form) || !weekday(day, 0) || b[1] != ' ' || b[4] != '-' || b[8] != '-' || b[11] != ' ' || !gmt(b[20:]) {
		return time.Time{}, false
	}
	year := number(b[9:11])
	if year < 0 {
		return time.Time{}, false
	}
	year += now.Year() / 100 * 100
	if year > now.Year()+50 {
		year -= 100
	}
	return date(year, b[5:8], number(b[2:4]), b[12:20])
}

// asctimeDate reads "Sun Nov  6 08:49:37 1994".
func asctimeDate(b []byte) (time.Time, bool) {
	const form = "Sun Nov  6 08:49:37 1994"
	if len(b) != len(form) || !weekday(b[:3], 3) || b[3] != ' ' || b[7] != ' ' || b[10] != ' ' || b[19] != ' ' {
		return time.Time{}, false
	}
	day := b[8:10]
	if day[0] == ' ' {
		day = day[1:]
	}
	return date(number(b[20:]), b[4:7], number(day), b[11:19])
}

var weekdays = [...]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// weekday tells whether b is the name of a day, or n letters of one.
func weekday(b []byte, n int) bool {
	for _, d := range weekdays {
		if n > 0 {
			d = d[:n]
		}
		if equalFold(b, d) {
			return true
		}
	}
	return false
}

func gmt(b []byte) bool { return equalFold(b, " gmt") }

var months = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// date puts a date together; clock is "08:49:37".
func date(year int, month []byte, day int, clock []byte) (time.Time, bool) {
	h, m, s := number(clock[:2]), number(clock[3:5]), number(clock[6:])
	if clock[2] != ':' || clock[5] != ':' || h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 60 || year < 0 || day < 1 {
		return time.Time{}, false
	}
	for i, name := range months {
		if equalFold(month, name) {
			t := time.Date(year, time.Month(i+1), day, h, m, 0, 0, time.UTC)
			return t.Add(time.Duration(s) * time.Second), t.Day() == day // not the 31st of April
		}
	}
	return time.Time{}, false
}

// number reads digits; -1 if there is anything else.
func number(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// AppendDate writes t as an HTTP-date.
func AppendDate(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 GMT")
}

func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
