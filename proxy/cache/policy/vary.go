package policy

import (
	"bytes"
	"slices"
	"strings"

	"portway/proxy/exchange"
)

// VaryNames lists the fields of the request that a response depends on, in lower
// case, sorted. star says that it depends on more than that, so that it fits no
// other request (RFC 9110 section 12.5.5). What has a Content-Encoding depends on
// Accept-Encoding, even if its origin forgets to say so.
func VaryNames(f *exchange.Fields) (names []string, star bool) {
	for name, value := range f.All() {
		if !exchange.EqualFold(name, "vary") {
			continue
		}
		for item := range bytes.SplitSeq(value, []byte(",")) {
			switch item = trim(item); {
			case len(item) == 0:
			case !isToken(item), string(item) == "*":
				return nil, true
			default:
				names = append(names, strings.ToLower(string(item)))
			}
		}
	}
	if f.Has("content-encoding") {
		names = append(names, "accept-encoding")
	}
	slices.Sort(names)
	return slices.Compact(names), false
}

// What begins the value of a field that Vary names: a field without a value is not
// the same as none.
const (
	absent  = '0'
	present = '1'
)

// AppendValue appends what counts of a request's field for RFC 9111 section 4.1:
// values that mean the same for sure give the same bytes. Lines are combined, and
// white space around commas is dropped; the order of Accept-Encoding and the case of
// that and of Accept-Language do not matter. The order of languages does: origins may
// go by it. name is in lower case.
func AppendValue(dst []byte, name string, f *exchange.Fields) []byte {
	from := len(dst)
	dst = append(dst, absent)
	for i := range f.Len() {
		l := f.At(i)
		if !exchange.EqualFold(l.Name, name) {
			continue
		}
		dst[from] = present
		for rest := l.Value; len(rest) > 0; {
			var item []byte
			if item, rest, _ = cutItem(rest); len(item) == 0 {
				continue
			}
			if len(dst) > from+1 {
				dst = append(dst, ',')
			}
			dst = append(dst, item...)
		}
	}
	switch name {
	case "accept-encoding":
		return normalizeCodings(dst, from+1)
	case "accept-language":
		return compact(dst, from+1)
	}
	return dst
}

// compact puts what is in dst behind from into lower case, without white space around
// semicolons.
func compact(dst []byte, from int) []byte {
	kept := dst[:from]
	for i := from; i < len(dst); i++ {
		c := dst[i]
		switch {
		case c == ' ' || c == '\t':
			after := bytes.TrimLeft(dst[i:], " \t")
			if len(kept) > from && kept[len(kept)-1] == ';' || len(after) > 0 && after[0] == ';' {
				continue
			}
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		kept = append(kept, c)
	}
	return kept
}

// maxCodings is how many codings are put in order; nobody sends more.
const maxCodings = 12

// normalizeCodings puts the list of codings, which is in dst behind from, in one
// order and one way of writing. Neither changes what it means (RFC 9110 section
// 12.5.3). What is not written as it should be stays as it is.
func normalizeCodings(dst []byte, from int) []byte {
	dst = compact(dst, from)
	var items [maxCodings][]byte
	n := 0
	for rest := dst[from:]; len(rest) > 0; n++ {
		var item []byte
		item, rest, _ = bytes.Cut(rest, []byte(","))
		name, weight, _ := bytes.Cut(item, []byte(";"))
		if n == maxCodings || !isToken(name) || len(name) < len(item) && !isWeight(weight) {
			return dst
		}
		if string(name) == "x-gzip" {
			item, name = item[len("x-"):], name[len("x-"):]
		}
		if len(weight) > 0 && isOne(weight[len("q="):]) {
			item = name
		}
		items[n] = item
	}
	slices.SortFunc(items[:n], bytes.Compare)
	end := len(dst)
	for i, item := range items[:n] {
		if i > 0 && bytes.Equal(item, items[i-1]) {
			continue
		}
		if len(dst) > end {
			dst = append(dst, ',')
		}
		dst = append(dst, item...)
	}
	// What was appended takes the place of the list; it is never longer.
	return dst[:from+copy(dst[from:], dst[end:])]
}

// isWeight tells whether b is "q=" and a qvalue, more or less.
func isWeight(b []byte) bool {
	const q = "q="
	if len(b) <= len(q) || string(b[:len(q)]) != q {
		return false
	}
	whole, fraction, _ := bytes.Cut(b[len(q):], []byte("."))
	return len(whole) == 1 && number(whole) >= 0 && number(fraction) >= 0
}

// isOne tells whether a weight is 1, which is as if there were none.
func isOne(q []byte) bool {
	return len(q) > 0 && q[0] == '1' && (len(q) == 1 || q[1] == '.' && len(bytes.Trim(q[2:], "0")) == 0)
}
