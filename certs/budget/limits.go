package budget

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits are what a CA allows.
type Limits struct {
	Orders       Rate // of the account
	Certificates Rate // per registered domain; for names that had none before
	Duplicates   Rate // for exactly the same names
	Failures     Rate // failed validations of one name
}

const week = 7 * 24 * time.Hour

// published are the limits that CAs have made public, by the host of their
// ACME directory.
var published = map[string]Limits{
	// https://letsencrypt.org/docs/rate-limits/
	"acme-v02.api.letsencrypt.org": {
		Orders:       Rate{300, 3 * time.Hour},
		Certificates: Rate{50, week},
		Duplicates:   Rate{5, week},
		Failures:     Rate{5, time.Hour},
	},
	// https://letsencrypt.org/docs/staging-environment/
	"acme-staging-v02.api.letsencrypt.org": {
		Orders:       Rate{1500, 3 * time.Hour},
		Certificates: Rate{30000, week},
		Duplicates:   Rate{30000, week},
		Failures:     Rate{60, time.Hour},
	},
}

// Published returns the limits that the CA with this ACME directory has made
// public. It is false for a CA of which none are known.
func Published(directory string) (Limits, bool) {
	u, err := url.Parse(directory)
	if err != nil {
		return Limits{}, false
	}
	l, ok := published[u.Hostname()]
	return l, ok
}

// Parse reads limits like "orders=300/3h, certificates=50/7d, duplicates=5/7d,
// failures=5/1h"; what is not named is not limited.
func Parse(text string) (Limits, error) {
	var l Limits
	rates := map[string]*Rate{
		"orders": &l.Orders, "certificates": &l.Certificates, "duplicates": &l.Duplicates, "failures": &l.Failures,
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		rate := rates[strings.TrimSpace(name)]
		if rate == nil {
			return Limits{}, fmt.Errorf("%q is not one of orders, certificates, duplicates, failures", name)
		}
		var err error
		if *rate, err = parseRate(strings.TrimSpace(value)); err != nil {
			return Limits{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return l, nil
}

// longestPer is more than any CA looks back.
const longestPer = 366 * 24 * time.Hour

func parseRate(text string) (Rate, error) {
	count, per, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 1_000_000 {
		return Rate{}, fmt.Errorf("%q is not a rate like 50/7d", text)
	}
	d, err := parsePer(per)
	if err != nil || d < time.Second || d > longestPer {
		return Rate{}, fmt.Errorf("%q is not a rate like 50/7d", text)
	}
	return Rate{n, d}, nil
}

// parsePer knows days and weeks too, which CAs count in.
func parsePer(text string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": week} {
		if count, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.Atoi(count)
			if n < 0 || n > 1000 {
				return 0, fmt.Errorf("%q is too long", text)
			}
			return time.Duration(n) * unit, err
		}
	}
	return time.ParseDuration(text)
}
