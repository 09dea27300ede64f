// Package route53 changes TXT records in Amazon Route 53. It is a client of our own,
// since AWS's SDK would add 5.6 MB to the program for four kinds of request.
package route53

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is an account of AWS.
type Config struct {
	Credentials
	Region   string        // tells parts of AWS apart: cn-*, us-gov-*, and all others
	Endpoint string        // URL; empty: that of Region
	Zone     string        // ID of the hosted zone; empty: the one for a record is looked for
	Private  bool          // zones of private networks are looked for, instead of public ones
	TTL      time.Duration // of records
	Client   *http.Client
}

// Client may be used from several goroutines.
type Client struct {
	cfg      Config
	signer   signer
	endpoint string
	pause    time.Duration // before the second try of a request; longer before further ones
	now      func() time.Time
}

// New returns a Client; it asks nobody yet.
func New(cfg Config) *Client {
	region, endpoint := "us-east-1", "https://route53.amazonaws.com"
	switch {
	case strings.HasPrefix(cfg.Region, "cn-"):
		region, endpoint = "cn-northwest-1", "https://route53.amazonaws.com.cn"
	case strings.HasPrefix(cfg.Region, "us-gov-"):
		region, endpoint = "us-gov-west-1", "https://route53.us-gov.amazonaws.com"
	}
	return &Client{
		cfg: cfg, signer: signer{Credentials: cfg.Credentials, region: region, service: "route53"},
		endpoint: strings.TrimSuffix(cmp.Or(cfg.Endpoint, endpoint), "/") + "/2013-04-01/", pause: time.Second, now: time.Now,
	}
}

// Error is what Route 53 says.
type Error struct {
	Status        int
	Code, Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s, status %d)", e.Message, e.Code, e.Status) }

const (
	changedMeanwhile = "InvalidChangeBatch"
	tries            = 5
	mostAnswer       = 1 << 20
)

// Add makes value one of those of the TXT record name, beside others. The change is known
// to Done by what it returns.
func (c *Client) Add(ctx context.Context, name, value string) (change string, err error) {
	quoted := strconv.Quote(value)
	return c.edit(ctx, name, func(values []string) []string {
		if slices.Contains(values, quoted) {
			return values
		}
		return append(slices.Clone(values), quoted)
	})
}

// Remove takes value from the TXT record name, and leaves others there.
func (c *Client) Remove(ctx context.Context, name, value string) error {
	quoted := strconv.Quote(value)
	_, err := c.edit(ctx, name, func(values []string) []string {
		return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == quoted })
	})
	return err
}

// edit replaces the values of a record by what f makes of them. Somebody else may change
// it at the same time: then what is to be deleted is not there any more, so that the
// change is refused as a whole, and made anew.
func (c *Client) edit(ctx context.Context, name string, f func([]string) []string) (change string, err error) {
	name = strings.TrimSuffix(name, ".") + "."
	zone, err := c.zone(ctx, name)
	if err != nil {
		return "", err
	}
	for range tries {
		old, err := c.record(ctx, zone, name)
		if err != nil {
			return "", err
		}
		wanted := f(old.values())
		if slices.Equal(wanted, old.values()) {
			return "", nil
		}
		change, err = c.replace(ctx, zone, old, recordSet{Name: name, Type: "TXT", TTL: int(c.cfg.TTL / time.Second), Records: records(wanted)})
		refused := (*Error)(nil)
		if !errors.As(err, &refused) || refused.Code != changedMeanwhile {
			return change, err
		}
	}
	return "", fmt.Errorf("%s changes all the time", name)
}

// Done waits until all servers of Route 53 know a change. It looks every interval.
func (c *Client) Done(ctx context.Context, change string, interval time.Duration) error {
	for change != "" {
		var answer struct{ ChangeInfo changeInfo }
		if err := c.do(ctx, http.MethodGet, "change/"+change, nil, nil, &answer); err != nil {
			return err
		}
		if answer.ChangeInfo.Status == "INSYNC" {
			break
		}
		if err := sleep(ctx, interval); err != nil {
			return err
		}
	}
	return nil
}

// zone is the ID of the zone that is nearest above name.
func (c *Client) zone(ctx context.Context, name string) (string, error) {
	if c.cfg.Zone != "" {
		return id(c.cfg.Zone), nil
	}
	for at := name; at != ""; _, at, _ = strings.Cut(at, ".") {
		var answer struct {
			HostedZones struct {
				HostedZone []struct {
					ID     string `xml:"Id"`
					Name   string
					Config struct{ PrivateZone bool }
				}
			}
		}
		if err := c.do(ctx, http.MethodGet, "hostedzonesbyname", url.Values{"dnsname": {at}}, nil, &answer); err != nil {
			return "", err
		}
		for _, z := range answer.HostedZones.HostedZone {
			if strings.EqualFold(z.Name, at) && z.Config.PrivateZone == c.cfg.Private {
				return id(z.ID), nil
			}
		}
	}
	return "", fmt.Errorf("the account has no hosted zone for %s", strings.TrimSuffix(name, "."))
}

// id takes away what stands in front of an ID in answers.
func id(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

func (c *Client) record(ctx context.Context, zone, name string) (*recordSet, error) {
	var answer struct {
		ResourceRecordSets struct{ ResourceRecordSet []recordSet }
	}
	query := url.Values{"name": {name}, "type": {"TXT"}, "maxitems": {"1"}} // where the list begins
	if err := c.do(ctx, http.MethodGet, "hostedzone/"+zone+"/rrset", query, nil, &answer); err != nil {
		return nil, err
	}
	for _, r := range answer.ResourceRecordSets.ResourceRecordSet {
		if strings.EqualFold(r.Name, name) && r.Type == "TXT" {
			return &r, nil
		}
	}
	return nil, nil
}

// replace puts a record in place of old, which may be nil.
func (c *Client) replace(ctx context.Context, zone string, old *recordSet, r recordSet) (string, error) {
	batch := changeBatch{Comment: "DNS-01 challenge, by Portway"}
	if old != nil {
		batch.Changes.Change = append(batch.Changes.Change, change{"DELETE", *old})
	}
	if len(r.values()) > 0 {
		batch.Changes.Change = append(batch.Changes.Change, change{"CREATE", r})
	}
	body, err := xml.Marshal(changeRequest{ChangeBatch: batch})
	if err != nil {
		return "", err
	}
	var answer struct{ ChangeInfo changeInfo }
	err = c.do(ctx, http.MethodPost, "hostedzone/"+zone+"/rrset", nil, append([]byte(xml.Header), body...), &answer)
	return id(answer.ChangeInfo.ID), err
}

// do makes a request, again where Route 53 is busy: it takes five in a second.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body []byte, answer any) error {
	pause := c.pause
	for try := 1; ; try++ {
		err := c.once(ctx, method, path, query, body, answer)
		refused := (*Error)(nil)
		if err == nil || try == tries || !errors.As(err, &refused) || !refused.passes() {
			return err
		}
		if sleep(ctx, pause) != nil {
			return err
		}
		pause *= 2
	}
}

// passes tells of an error that is another one later, or none.
func (e *Error) passes() bool {
	return e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Code == "Throttling" || e.Code == "PriorRequestNotComplete"
}

func (c *Client) once(ctx context.Context, method, path string, query url.Values, body []byte, answer any) error {
	target := c.endpoint + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/xml")
	}
	c.signer.sign(r, body, c.now())
	resp, err := c.cfg.Client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return parseError(resp.StatusCode, data)
	}
	return xml.Unmarshal(data, answer)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
