package exchange

import "unsafe"

// bytesOf views a string as bytes without a copy; nobody writes to values of
// Fields, so the string stays what it is.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
