package pebbletest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

// dnsMock is a running pebble-challtestsrv, of which only DNS is used.
type dnsMock struct {
	t      testing.TB
	addr   string // of DNS, both UDP and TCP
	manage string
	client *http.Client
}

func startDNS(t testing.TB, address string) *dnsMock {
	t.Helper()
	d := &dnsMock{
		t:      t,
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	retry(t, func() error {
		d.addr, d.manage = freeAddress(t, "127.0.0.1"), freeAddress(t, "127.0.0.1")
		proc := start(t, "pebble-challtestsrv", nil, []string{
			"-dnsserver", d.addr, "-management", d.manage,
			"-defaultIPv4", address, "-defaultIPv6", "",
			"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "",
		})
		t.Cleanup(proc.kill)
		return proc.await(d.ready)
	})
	return d
}

func (d *dnsMock) ready() error {
	resp, err := d.client.Get("http://" + d.manage + "/")
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func (d *dnsMock) post(command string, request any) {
	d.t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := d.client.Post("http://"+d.manage+"/"+command, "application/json", bytes.NewReader(data))
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		d.t.Fatalf("pebble-challtestsrv: %s %s: %s %s", command, data, resp.Status, body)
	}
}

// Resolver is the DNS server that Pebble asks, as host:port.
func (p *Pebble) Resolver() string { return p.dns.addr }

// SetCAA makes name have one CAA record, which allows issuer only.
func (p *Pebble) SetCAA(name, issuer string) {
	p.t.Helper()
	p.dns.post("clear-caa", map[string]any{"host": name + "."})
	p.dns.post("add-caa", map[string]any{"host": name + ".", "policies": []map[string]string{{"tag": "issue", "value": issuer}}})
}
