package certs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// OnDemand says which hosts, of those that a name covers, get a certificate when
// the first visitor comes, each its own. Without either there is no such thing; with
// both, both must agree.
type OnDemand struct {
	Ask   string // URL that answers 200 for a host that is to be served, which is in the query as domain
	Allow string // regular expression that the whole host fits
}

// rule is OnDemand for one name.
type rule struct {
	name   Name // of which it is
	covers func(host string) bool
	ask    *url.URL
	allow  *regexp.Regexp
	wishes Wishes
}

// patternName begins a Name that is a regular expression, which is for OnDemand only.
const patternName = "~"

// newRule makes the rule of n. Its error says why there is none.
func newRule(n Name) (*rule, error) {
	r := &rule{name: n, wishes: n.Wishes}
	r.wishes.OnDemand = OnDemand{}
	if pattern, ok := strings.CutPrefix(n.Name, patternName); ok {
		hosts, err := wholePattern(pattern)
		if err != nil {
			return nil, fmt.Errorf("the pattern for hosts %q: %w", pattern, err)
		}
		r.covers = hosts.MatchString
	} else {
		suffix := strings.TrimPrefix(normalize(n.Name), "*")
		r.covers = func(host string) bool {
			dot := strings.IndexByte(host, '.')
			return dot > 0 && host[dot:] == suffix
		}
	}
	if n.OnDemand.Allow != "" {
		allow, err := wholePattern(n.OnDemand.Allow)
		if err != nil {
			return nil, fmt.Errorf("the pattern for hosts that are allowed, %q: %w", n.OnDemand.Allow, err)
		}
		r.allow = allow
	}
	if n.OnDemand.Ask != "" {
		ask, err := url.Parse(n.OnDemand.Ask)
		if err != nil || ask.Host == "" || ask.Scheme != "http" && ask.Scheme != "https" {
			return nil, fmt.Errorf("%q, which is to be asked about hosts, is no URL like http://app:8080/may-have-a-certificate", n.OnDemand.Ask)
		}
		r.ask = ask
	}
	return r, nil
}

func wholePattern(text string) (*regexp.Regexp, error) { return regexp.Compile(`^(?i:` + text + `)$`) }

// askTimeout is how long the endpoint may take, while a visitor waits.
const askTimeout = 5 * time.Second

// permits tells whether host is to have a certificate. The error says that nobody
// knows at the moment.
func (r *rule) permits(ctx context.Context, client *http.Client, host string) (bool, error) {
	if r.allow != nil && !r.allow.MatchString(host) || r.allow == nil && r.ask == nil {
		return false, nil
	}
	if r.ask == nil {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	at := *r.ask
	query := at.Query()
	query.Set("domain", host)
	at.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return false, err
	}
	where := r.ask.Host + r.ask.Path // its query may have a token in it
	resp, err := client.Do(req)
	if wrong := (*url.Error)(nil); errors.As(err, &wrong) {
		err = fmt.Errorf("%s: %w", where, wrong.Err)
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // so that the connection can be used again
	if resp.StatusCode >= 500 {
		return false, fmt.Errorf("%s answers %s", where, resp.Status)
	}
	return resp.StatusCode == http.StatusOK, nil
}

// plausible tells whether a public CA could certify host: of what clients send as a
// name, most is rubbish.
func plausible(host string) bool {
	if len(host) > 253 || isIP(host) {
		return false
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
	}
	return len(labels) > 1
}

// bucket lets events through at a rate, and some at once.
type bucket struct {
	every time.Duration
	burst int
	full  time.Time // when it will be
}

// take tells whether an event may happen now.
func (b *bucket) take(now time.Time) bool {
	full := b.full
	if full.Before(now) {
		full = now
	}
	full = full.Add(b.every)
	if full.Sub(now) > time.Duration(b.burst)*b.every {
		return false
	}
	b.full = full
	return true
}
