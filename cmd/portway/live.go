package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"portway/admin"
	"portway/admin/show"
)

// liveTimeout bounds a request that is sent to see how long it takes.
const liveTimeout = 30 * time.Second

// send sends the request as a client would, and has the replicas asked directly.
func (x explainCmd) send(c *cli, e *admin.Explanation) *show.Live {
	l := &show.Live{URL: e.Request.URL}
	u, err := url.Parse(e.Request.URL)
	if err != nil {
		l.Error = err.Error()
		return l
	}
	x.sendTo(u, l)
	if r := e.Request.Route; r != nil {
		v := url.Values{"route": {r.ID}, "method": {e.Request.Method}, "host": {u.Host}, "target": {u.RequestURI()}}
		status, body, err := tell(c.Control, "/v1/try?"+v.Encode(), nil)
		if err == nil && status == http.StatusOK {
			err = json.Unmarshal(body, &l.Hops)
		}
		if err != nil {
			l.Error = err.Error()
		}
	}
	return l
}

// sendTo sends the request and notes what happens when.
func (x explainCmd) sendTo(u *url.URL, l *show.Live) {
	ctx, cancel := context.WithTimeout(context.Background(), liveTimeout)
	defer cancel()
	start := time.Now()
	step := start
	took := func(name, what string) {
		now := time.Now()
		l.Steps = append(l.Steps, show.Step{Name: name, MS: float64(now.Sub(step).Microseconds()) / 1000, What: what})
		step = now
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { step = time.Now() },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			var all []string
			for _, a := range i.Addrs {
				all = append(all, a.String())
			}
			took("DNS", strings.Join(all, ", "))
		},
		ConnectStart:         func(_, _ string) { step = time.Now() },
		ConnectDone:          func(_, address string, err error) { took("connect", join(address, err)) },
		TLSHandshakeStart:    func() { step = time.Now() },
		TLSHandshakeDone:     func(s tls.ConnectionState, err error) { took("TLS", join(describeTLS(u.Hostname(), s), err)) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { step = time.Now() },
		GotFirstResponseByte: func() { took("first byte", "") },
	})
	dialer := &net.Dialer{}
	transport := &http.Transport{
		ForceAttemptHTTP2: true, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true}, // whether it is trusted is told beside
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if x.Connect != "" {
				address = x.Connect
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
	request, err := http.NewRequestWithContext(ctx, strings.ToUpper(x.Method), u.String(), nil)
	if err != nil {
		l.Error = err.Error()
		return
	}
	for _, f := range x.Header {
		name, value, _ := strings.Cut(f, ":")
		request.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if len(x.Cookie) > 0 {
		request.Header.Add("Cookie", strings.Join(x.Cookie, "; "))
	}
	resp, err := transport.RoundTrip(request)
	if err != nil {
		l.Error = err.Error()
		return
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	took("body", join(fmt.Sprintf("%d bytes", n), err))
	l.Status, l.Protocol, l.RequestID = resp.StatusCode, resp.Proto, resp.Header.Get("X-Request-Id")
	l.TotalMS = float64(time.Since(start).Microseconds()) / 1000
	if location, err := resp.Location(); err == nil && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		l.Location = location.String()
		l.Loop = sameAddress(location, u)
	}
}

// sameAddress tells whether a redirect leads to where it comes from.
func sameAddress(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b) && a.RequestURI() == b.RequestURI()
}

func join(text string, err error) string {
	if err != nil {
		return strings.TrimPrefix(text+": "+err.Error(), ": ")
	}
	return text
}

// describeTLS tells about a connection, and whether this machine trusts it.
func describeTLS(host string, s tls.ConnectionState) string {
	if len(s.PeerCertificates) == 0 {
		return ""
	}
	leaf := s.PeerCertificates[0]
	text := fmt.Sprintf("%s, certificate by %s until %s", tls.VersionName(s.Version), leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly))
	if err := verify(host, s); err != nil {
		return text + ", not trusted here: " + err.Error()
	}
	return text + ", trusted"
}
