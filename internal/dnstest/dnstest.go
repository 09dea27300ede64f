// Package dnstest runs BIND, the real DNS server, for tests: authoritative for zones
// whose records dynamic updates (RFC 2136) change, at port 53 of a loopback address of
// its own.
package dnstest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"portway/internal/freeport"
	"portway/internal/need"
)

// Server is a running named.
type Server struct {
	Addr      string // 127.x.y.z:53
	KeyName   string // of the TSIG key (hmac-sha256) that updates need
	KeySecret string

	t testing.TB
}

// Start runs a server until the test ends. The test is skipped if there is no BIND or
// port 53 may not be used, or fails if CI or PORTWAY_TEST_REQUIRE=1 is in the
// environment.
//
// zones are by name, with records in the form of zone files; the server's own name, ns1
// in each zone, has its address already. Other servers of the zones can be given as
// ns2, ns3 and so on.
func Start(t testing.TB, zones map[string]string, others ...*Server) *Server {
	t.Helper()
	named, err := exec.LookPath("named")
	if err != nil {
		named = "/usr/sbin/named" // not in the PATH of ordinary users
	}
	if _, err := os.Stat(named); err != nil {
		need.Missing(t, "no DNS server; make test installs bind9: %v", err)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	s := &Server{t: t, KeyName: "portway.", KeySecret: base64.StdEncoding.EncodeToString(secret)}
	for range 5 {
		if err = s.run(named, zones, others); err == nil {
			return s
		}
	}
	if strings.Contains(err.Error(), "permission denied") {
		need.Missing(t, "DNS servers listen at port 53: %v", err)
	}
	t.Fatal(err)
	return nil
}

// address is a loopback address with port 53, most likely one that nobody uses.
func address() string {
	n := make([]byte, 2)
	_, _ = rand.Read(n) // never fails
	return fmt.Sprintf("127.53.%d.%d:53", n[0], 1+n[1]%254)
}

// run starts named in a folder of its own, and waits until it answers.
func (s *Server) run(named string, zones map[string]string, others []*Server) (err error) {
	behind, err := freeport.On("127.0.0.1")
	if err != nil {
		return err
	}
	s.Addr = address()
	front, err := newRelay(s.Addr, behind)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			front.close()
		}
	}()
	ip, _, _ := net.SplitHostPort(s.Addr)
	_, port, _ := net.SplitHostPort(behind)
	dir := s.t.TempDir()
	conf := fmt.Sprintf(`options {
	directory %[1]q; pid-file none; session-keyfile %[2]q; lock-file none;
	listen-on port %[3]s { 127.0.0.1; }; listen-on-v6 { none; };
	recursion yes; minimal-responses yes; notify no; allow-transfer { none; };
	dnssec-validation no; empty-zones-enable no;
};
controls { };
zone "." { type primary; file "root.zone"; };
key %[4]q { algorithm hmac-sha256; secret %[5]q; };
`, dir, filepath.Join(dir, "session.key"), port, s.KeyName, s.KeySecret)
	var first string
	for name, records := range zones {
		first = name
		text := fmt.Sprintf("$TTL 5\n@ SOA ns1 admin 1 3600 600 86400 5\n@ NS ns1\nns1 A %s\n", ip)
		for i, other := range others {
			host, _, _ := net.SplitHostPort(other.Addr)
			text += fmt.Sprintf("@ NS ns%[1]d\nns%[1]d A %[2]s\n", i+2, host)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".zone"), []byte(text+records+"\n"), 0o644); err != nil {
			return err
		}
		conf += fmt.Sprintf("zone %q { type primary; file %q; update-policy { grant %q subdomain %s. TXT; }; };\n", name, name+".zone", s.KeyName, name)
	}
	// With a root of its own it asks nobody, but follows CNAMEs from zone to zone.
	if err := os.WriteFile(filepath.Join(dir, "root.zone"), []byte("$TTL 5\n@ SOA ns1 admin 1 3600 600 86400 5\n@ NS ns1\nns1 A "+ip+"\n"), 0o644); err != nil {
		return err
	}
	file := filepath.Join(dir, "named.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return err
	}
	cmd := exec.Command(named, "-g", "-c", file, "-n", "1")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it ends by our kill; an earlier end is seen below
	}()
	kill := func() {
		_ = cmd.Process.Kill() // an error means that it has ended
		<-ended
	}
	deadline := time.After(20 * time.Second)
	for {
		if len(s.query(first, dns.TypeSOA, 100*time.Millisecond)) > 0 {
			s.t.Cleanup(func() {
				front.close()
				kill()
				if s.t.Failed() {
					s.t.Logf("BIND at %s:\n%s", s.Addr, log.String())
				}
			})
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("named ended: %v\n%s", cmd.ProcessState, log.String())
		case <-deadline:
			kill()
			return fmt.Errorf("named does not answer\n%s", log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Env are the variables for lego's provider dnsupdate, also called rfc2136.
func (s *Server) Env() map[string]string {
	return map[string]string{
		"DNSUPDATE_NAMESERVER":       s.Addr,
		"DNSUPDATE_TSIG_KEY":         s.KeyName,
		"DNSUPDATE_TSIG_SECRET":      s.KeySecret,
		"DNSUPDATE_TSIG_ALGORITHM":   dns.HmacSHA256,
		"DNSUPDATE_POLLING_INTERVAL": "1",
	}
}

// TXT returns the texts at name, sorted.
func (s *Server) TXT(name string) []string {
	s.t.Helper()
	var all []string
	for _, rr := range s.query(name, dns.TypeTXT, 5*time.Second) {
		if txt, ok := rr.(*dns.TXT); ok {
			all = append(all, strings.Join(txt.Txt, ""))
		}
	}
	slices.Sort(all)
	return all
}

func (s *Server) query(name string, kind uint16, limit time.Duration) []dns.RR {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	c := dns.Client{Timeout: limit}
	reply, _, err := c.Exchange(m, s.Addr)
	if err != nil {
		return nil
	}
	return reply.Answer
}

// Add adds a text at name, in the zone.
func (s *Server) Add(zone, name, text string) error {
	return s.update(zone, name, text, (*dns.Msg).Insert)
}

// Remove undoes Add.
func (s *Server) Remove(zone, name, text string) error {
	return s.update(zone, name, text, (*dns.Msg).Remove)
}

func (s *Server) update(zone, name, text string, change func(*dns.Msg, []dns.RR)) error {
	m := new(dns.Msg)
	m.SetUpdate(dns.Fqdn(zone))
	change(m, []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 5},
		Txt: []string{text},
	}})
	m.SetTsig(s.KeyName, dns.HmacSHA256, 300, time.Now().Unix())
	c := dns.Client{TsigSecret: map[string]string{s.KeyName: s.KeySecret}}
	reply, _, err := c.Exchange(m, s.Addr)
	if err == nil && reply.Rcode != dns.RcodeSuccess {
		err = fmt.Errorf("the update of %s: %s", name, dns.RcodeToString[reply.Rcode])
	}
	return err
}
