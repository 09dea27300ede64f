package label

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

func parseList(v string) ([]string, error) {
	items := strings.Split(v, ",")
	for i, item := range items {
		items[i] = strings.TrimSpace(item)
		if items[i] == "" {
			return nil, &Error{Why: "has an empty item in " + Quote(v), Fix: "write one comma between items, for example one,two"}
		}
	}
	return items, nil
}

func parseBool(v string, def bool) (bool, error) {
	switch v {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return def, &Error{Why: Quote(v) + " is neither true nor false", Fix: "write true or false"}
}

func (o *Option) inRange(n int) bool {
	if o.Min == 0 && o.Max == 0 {
		return n >= 0
	}
	return n >= o.Min && n <= o.Max
}

func (o *Option) parseInt(v string) (int, error) {
	accepted := "write a whole number of 0 or more"
	if o.Min != 0 || o.Max != 0 {
		accepted = fmt.Sprintf("write a whole number from %d to %d", o.Min, o.Max)
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, &Error{Why: Quote(v) + " is not a whole number", Fix: accepted}
	}
	if !o.inRange(n) {
		return 0, &Error{Why: Quote(v) + " is out of range", Fix: accepted}
	}
	return n, nil
}

const day = 24 * time.Hour

// parseDuration is time.ParseDuration with days, and without a sign.
func parseDuration(v string) (time.Duration, error) {
	const accepted = "write a number with a unit (ms, s, m, h or d), for example 30s"
	if v == "0" {
		return 0, nil
	}
	if _, err := strconv.ParseFloat(v, 64); err == nil {
		return 0, &Error{Why: Quote(v) + " has no unit", Fix: accepted}
	}
	bad := &Error{Why: Quote(v) + " is not a duration", Fix: accepted}
	if strings.HasPrefix(v, "-") || strings.HasPrefix(v, "+") {
		return 0, bad
	}
	var d time.Duration
	rest := v
	if days, after, found := strings.Cut(v, "d"); found {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return 0, bad
		}
		d, rest = time.Duration(n)*day, after
		if strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
			return 0, bad
		}
	}
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil || more < 0 || d+more < d {
			return 0, bad
		}
		d += more
	}
	return d, nil
}

// formatDuration writes d as a user would: "1m", not "1m0s".
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// units of sizes, the larger first where one divides the other, so that
// formatSize finds the largest that fits.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

// ParseSize reads a number of bytes as options of type size have it: "512", "10KiB",
// "1GB". The error is an *Error.
func ParseSize(v string) (int64, error) {
	const accepted = "write a number of bytes, with a unit if you like (KiB, MiB, GiB, kB, MB, GB), for example 10MiB"
	bad := &Error{Why: Quote(v) + " is not a size", Fix: accepted}
	end := strings.LastIndexAny(v, "0123456789") + 1
	number, unit := v[:end], strings.TrimSpace(v[end:])
	if strings.Trim(number, "0123456789.") != "" {
		return 0, bad
	}
	scale := int64(1)
	if unit != "" {
		scale = 0
		for _, u := range units {
			if strings.EqualFold(u.name, unit) {
				scale = u.bytes
			}
		}
		if scale == 0 {
			if len(unit) == 1 && strings.Contains("KMGTkmgt", unit) {
				prefix := strings.ToUpper(unit)
				bad.Fix = fmt.Sprintf("write %s%siB (or %s%sB for powers of ten)", number, prefix, number, prefix)
			}
			return 0, bad
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64/scale {
			return 0, &Error{Why: Quote(v) + " is too large", Fix: accepted}
		}
		return n * scale, nil
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, bad
	}
	bytes := math.Round(n * float64(scale))
	if bytes >= math.MaxInt64 {
		return 0, &Error{Why: Quote(v) + " is too large", Fix: accepted}
	}
	return int64(bytes), nil
}

// formatSize writes n as a user would: "10MiB", not "10485760".
func formatSize(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func enumError(v string, values []string) error {
	fix := "write one of " + strings.Join(values, ", ")
	if near := Nearest(v, values); near != "" {
		fix = "did you mean " + near + "? It takes " + strings.Join(values, ", ")
	}
	return &Error{Why: Quote(v) + " is not known here", Fix: fix}
}
