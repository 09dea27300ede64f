package route53

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// cloud answers as Route 53 does. Signatures are checked by AWS's own code.
type cloud struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	records  map[string]*recordSet // by zone and name
	busy     int                   // requests that are refused
	pending  int                   // looks at a change until all servers know it
	intruder func()                // called once, between a look at a record and its change
	changes  int
}

const (
	keyID  = "AKIDEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	token  = "session/token+="
)

func newCloud(t *testing.T) *cloud {
	c := &cloud{t: t, records: make(map[string]*recordSet)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2013-04-01/hostedzonesbyname", func(w http.ResponseWriter, r *http.Request) {
		// The list begins at the name, and goes on.
		all := [][3]string{{"ZPRIVATE", "sub.example.com.", "true"}, {"ZSUB", "sub.example.com.", "false"}, {"ZMAIN", "example.com.", "false"}, {"ZPLUS", "z.example.com.", "false"}}
		var out strings.Builder
		for _, z := range all {
			if strings.HasSuffix("."+z[1], "."+r.URL.Query().Get("dnsname")) {
				fmt.Fprintf(&out, `<HostedZone><Id>/hostedzone/%s</Id><Name>%s</Name><CallerReference>x</CallerReference><Config><PrivateZone>%s</PrivateZone></Config></HostedZone>`, z[0], z[1], z[2])
			}
		}
		answer(w, 200, `<ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZones>`+out.String()+`</HostedZones><IsTruncated>false</IsTruncated></ListHostedZonesByNameResponse>`)
	})
	mux.HandleFunc("GET /2013-04-01/hostedzone/{zone}/rrset", func(w http.ResponseWriter, r *http.Request) {
		set := c.records[r.PathValue("zone")+" "+r.URL.Query().Get("name")]
		if set == nil { // the list begins with what comes next
			set = &recordSet{Name: "zzz.example.com.", Type: "A", TTL: 5, Records: records([]string{"192.0.2.1"})}
		}
		data, err := xml.Marshal(struct {
			XMLName xml.Name   `xml:"ListResourceRecordSetsResponse"`
			Set     *recordSet `xml:"ResourceRecordSets>ResourceRecordSet"`
		}{Set: set})
		if err != nil {
			t.Error(err)
		}
		answer(w, 200, string(data))
		if c.intruder != nil {
			c.intruder()
			c.intruder = nil
		}
	})
	mux.HandleFunc("POST /2013-04-01/hostedzone/{zone}/rrset", c.change)
	mux.HandleFunc("GET /2013-04-01/change/{id}", func(w http.ResponseWriter, r *http.Request) {
		state := "INSYNC"
		if c.pending > 0 {
			c.pending--
			state = "PENDING"
		}
		answer(w, 200, `<GetChangeResponse><ChangeInfo><Id>/change/`+r.PathValue("id")+`</Id><Status>`+state+`</Status></ChangeInfo></GetChangeResponse>`)
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case !c.signed(r):
			answer(w, 403, `<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>The signature is wrong.</Message></Error></ErrorResponse>`)
		case c.busy > 0:
			c.busy--
			answer(w, 400, `<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`)
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, xml.Header+body)
}

// signed has AWS's code sign the same request, and compares.
func (c *cloud) signed(r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		return false
	}
	again, err := http.NewRequest(r.Method, c.url+r.URL.RequestURI(), nil)
	if err != nil {
		c.t.Error(err)
	}
	if ct := r.Header.Get("Content-Type"); ct != "" {
		again.Header.Set("Content-Type", ct)
	}
	digest := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(c.t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: token}, again, hex.EncodeToString(digest[:]), "route53", "us-east-1", at)
	return err == nil && again.Header.Get("Authorization") == r.Header.Get("Authorization") && r.Header.Get("X-Amz-Security-Token") == token
}

// change is all or nothing.
func (c *cloud) change(w http.ResponseWriter, r *http.Request) {
	var q changeRequest
	if err := xml.NewDecoder(r.Body).Decode(&q); err != nil { // which looks at the namespace too
		answer(w, 400, `<ErrorResponse><Error><Code>MalformedXML</Code><Message>`+err.Error()+`</Message></Error></ErrorResponse>`)
		return
	}
	next := make(map[string]*recordSet)
	for k, v := range c.records {
		next[k] = v
	}
	for _, one := range q.ChangeBatch.Changes.Change {
		key, set := r.PathValue("zone")+" "+one.ResourceRecordSet.Name, one.ResourceRecordSet
		old := next[key]
		switch {
		case one.Action == "CREATE" && old == nil && set.TTL > 0:
			next[key] = &set
		case one.Action == "DELETE" && old != nil && old.TTL == set.TTL && slices.Equal(old.values(), set.values()):
			delete(next, key)
		default:
			answer(w, 400, `<InvalidChangeBatch xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Messages><Message>Tried to `+one.Action+`, but it is otherwise</Message></Messages></InvalidChangeBatch>`)
			return
		}
	}
	c.records = next
	c.changes++
	answer(w, 200, fmt.Sprintf(`<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C%d</Id><Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>`, c.changes))
}

func (c *cloud) client(change func(*Config)) *Client {
	cfg := Config{Credentials: Credentials{keyID, secret, token}, Endpoint: c.url, TTL: 10 * time.Second, Client: http.DefaultClient}
	if change != nil {
		change(&cfg)
	}
	client := New(cfg)
	client.pause = time.Millisecond
	return client
}

func (c *cloud) has(t *testing.T, key string, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := c.records[key].values(); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", key, got, want)
	}
}

const record1 = "_acme-challenge.a.sub.example.com"

// Values of others at the same name stay, in the zone that is nearest.
func TestAddAndRemove(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t)
	key := "ZSUB " + record1 + "."
	cloud.records[key] = &recordSet{Name: record1 + ".", Type: "TXT", TTL: 300, Records: records([]string{`"theirs"`})}
	c := cloud.client(nil)
	change, err := c.Add(t.Context(), record1, "ours")
	if err != nil || change != "C1" {
		t.Fatalf("%q, %v", change, err)
	}
	cloud.has(t, key, `"theirs"`, `"ours"`)
	if change, err = c.Add(t.Context(), record1, "ours"); err != nil || change != "" {
		t.Errorf("a value that is there: %q, %v", change, err)
	}
	if err := c.Done(t.Context(), change, time.Millisecond); err != nil {
		t.Error(err)
	}
	for range 2 { // the second one finds nothing to do
		if err := c.Remove(t.Context(), record1, "ours"); err != nil {
			t.Fatal(err)
		}
		cloud.has(t, key, `"theirs"`)
	}
	if err := c.Remove(t.Context(), record1, "theirs"); err != nil {
		t.Fatal(err)
	}
	cloud.has(t, key)
}

// What somebody else has changed since we looked is not overwritten.
func TestAnotherWriter(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t)
	key := "ZMAIN _acme-challenge.example.com."
	cloud.intruder = func() {
		cloud.records[key] = &recordSet{Name: "_acme-challenge.example.com.", Type: "TXT", TTL: 60, Records: records([]string{`"theirs"`})}
	}
	if _, err := cloud.client(nil).Add(t.Context(), "_acme-challenge.example.com", "ours"); err != nil {
		t.Fatal(err)
	}
	cloud.has(t, key, `"theirs"`, `"ours"`)
}

func TestDone(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t)
	cloud.pending = 3
	if err := cloud.client(nil).Done(t.Context(), "C1", time.Millisecond); err != nil || cloud.pending != 0 {
		t.Errorf("%v, with %d looks left", err, cloud.pending)
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t)
	for _, x := range []struct {
		change     func(*Config)
		name, want string
	}{
		{nil, record1, "ZSUB"},
		{nil, "_acme-challenge.example.com", "ZMAIN"},
		{nil, "_acme-challenge.xz.example.com", "ZMAIN"},
		{func(c *Config) { c.Private = true }, record1, "ZPRIVATE"},
		{func(c *Config) { c.Zone = "/hostedzone/ZOTHER" }, record1, "ZOTHER"},
		{nil, "_acme-challenge.example.org", ""},
	} {
		got, err := cloud.client(x.change).zone(t.Context(), x.name+".")
		if got != x.want || (err == nil) != (x.want != "") {
			t.Errorf("%s: got %q, %v, want %q", x.name, got, err, x.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t)
	cloud.busy = tries - 1
	if _, err := cloud.client(nil).Add(t.Context(), record1, "x"); err != nil {
		t.Errorf("a busy moment: %v", err)
	}
	cloud.busy = tries
	refused := (*Error)(nil)
	if _, err := cloud.client(nil).Add(t.Context(), record1, "y"); !errors.As(err, &refused) || refused.Code != "Throttling" || err.Error() != "Rate exceeded (Throttling, status 400)" {
		t.Errorf("busy all the time: %v", err)
	}
	_, err := cloud.client(func(c *Config) { c.Secret = "wrong" }).Add(t.Context(), record1, "z")
	if !errors.As(err, &refused) || refused.Code != "SignatureDoesNotMatch" {
		t.Errorf("a wrong key: %v", err)
	}
	if e := parseError(502, []byte("<html>")); e.Error() != "Bad Gateway (no code, status 502)" {
		t.Errorf("no answer of Route 53's: %v", e)
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{
		"":              "us-east-1 https://route53.amazonaws.com/2013-04-01/",
		"eu-central-1":  "us-east-1 https://route53.amazonaws.com/2013-04-01/",
		"cn-north-1":    "cn-northwest-1 https://route53.amazonaws.com.cn/2013-04-01/",
		"us-gov-east-1": "us-gov-west-1 https://route53.us-gov.amazonaws.com/2013-04-01/",
	} {
		if c := New(Config{Region: region}); c.signer.region+" "+c.endpoint != want {
			t.Errorf("%q: got %s %s, want %s", region, c.signer.region, c.endpoint, want)
		}
	}
}
