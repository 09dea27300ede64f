package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"portway/admin"
	"portway/internal/atomicfile"
)

// certsCmd is "portway certs".
type certsCmd struct {
	List   certsListCmd   `cmd:"" help:"List all names, with the state and the end of their certificates."`
	Show   certsShowCmd   `cmd:"" help:"Show all that is known about the certificate of a name."`
	Renew  certsRenewCmd  `cmd:"" help:"Get another certificate now, however good the present one is."`
	Revoke certsRevokeCmd `cmd:"" help:"Have the CA revoke a certificate, and get another one with another key."`
	Export certsExportCmd `cmd:"" help:"Write a certificate with its chain, and its key, to files."`
	Import certsImportCmd `cmd:"" help:"Take the certificates and accounts that Traefik, Caddy or acme-companion has left."`
}

const certificatesPath = "/v1/certificates"

// slowly is how long a CA may take to do what was asked.
const slowly = 2 * time.Minute

// control asks the running Portway as the user that we are, or else as its own: who
// is root in a container without capabilities may not open its socket.
func (c *cli) asking(method, path string, question, into any) error {
	var content []byte
	if question != nil {
		var err error
		if content, err = json.Marshal(question); err != nil {
			return err
		}
	}
	status, body, err := send(c.Control, method, path, content, slowly)
	if errors.Is(err, fs.ErrPermission) {
		if err = c.becomeUser(); err == nil {
			status, body, err = send(c.Control, method, path, content, slowly)
		}
	}
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return json.Unmarshal(body, into)
}

func (c *cli) certificate(name string) (d admin.CertificateDetails, err error) {
	err = c.asking(http.MethodGet, certificatesPath+"/"+url.PathEscape(name), nil, &d)
	return d, err
}

type certsListCmd struct {
	JSON bool `name:"json" help:"As JSON."`
}

// Run prints a table.
func (l certsListCmd) Run(c *cli) error {
	var all []admin.CertificateDetails
	if err := c.asking(http.MethodGet, certificatesPath, nil, &all); err != nil {
		return err
	}
	if l.JSON {
		return printJSON(all)
	}
	return listCertificates(os.Stdout, all, time.Now())
}

func listCertificates(out io.Writer, all []admin.CertificateDetails, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tISSUER\tEXPIRES\tRENEWAL\tNOTE")
	for _, d := range all {
		note := d.LastError
		if short, _, cut := strings.Cut(note, ". "); cut {
			note = short + "."
		}
		if len(note) > 100 {
			note = note[:97] + "..."
		}
		if d.NextTry != nil {
			note = strings.TrimSpace(fmt.Sprintf("next try %s. %s", distance(d.NextTry, now), note))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, d.State, orDash(d.Issuer), distance(d.NotAfter, now), distance(d.NextRenewal, now), note)
	}
	return w.Flush()
}

// distance writes a time as it is seen from now.
func distance(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	d := t.Sub(now)
	switch {
	case d < 0:
		return "past"
	case d < time.Minute:
		return fmt.Sprintf("in %d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("in %d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("in %d h", d/time.Hour)
	default:
		return fmt.Sprintf("in %d days", d/(24*time.Hour))
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type certsShowCmd struct {
	Name string `arg:"" help:"As in the list, for example www.example.com or *.example.com."`
	JSON bool   `name:"json" help:"As JSON."`
}

// Run prints a line for each fact.
func (s certsShowCmd) Run(c *cli) error {
	d, err := c.certificate(s.Name)
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(d)
	}
	return showCertificate(os.Stdout, d, time.Now())
}

func showCertificate(out io.Writer, d admin.CertificateDetails, now time.Time) error {
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Local().Format("2006-01-02 15:04:05 MST") + " (" + distance(t, now) + ")"
	}
	onDemand, tries := "", ""
	if d.OnDemand {
		onDemand = "yes"
	}
	if d.Attempts > 0 {
		tries = strconv.Itoa(d.Attempts)
	}
	for _, f := range []struct{ what, value string }{
		{"name", d.Name},
		{"state", d.State},
		{"issuer", d.Issuer},
		{"wildcard", d.Wildcard},
		{"on demand", onDemand},
		{"challenge", d.Challenge},
		{"profile", d.Profile},
		{"valid from", at(d.NotBefore)},
		{"valid until", at(d.NotAfter)},
		{"renewal", at(d.NextRenewal)},
		{"serial", d.Serial},
		{"sha-256", d.Fingerprint},
		{"key", d.KeyType},
		{"last error", d.LastError},
		{"next try", at(d.NextTry)},
		{"failed tries", tries},
	} {
		if f.value == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-12s %s\n", f.what, f.value); err != nil {
			return err
		}
	}
	return nil
}

type certsRenewCmd struct {
	Name string `arg:"" help:"As in the list."`
}

// Run waits for the new certificate, or for what the CA says instead.
func (r certsRenewCmd) Run(c *cli) error {
	before, err := c.certificate(r.Name)
	if err != nil {
		return err
	}
	if err := c.asking(http.MethodPost, certificatesPath+"/"+url.PathEscape(r.Name)+"/renew", struct{}{}, new(struct{})); err != nil {
		return err
	}
	return c.awaitAnother(before)
}

// awaitAnother returns when there is another certificate than before, or a reason why not.
func (c *cli) awaitAnother(before admin.CertificateDetails) error {
	for deadline := time.Now().Add(slowly); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) { // nothing tells another process
		d, err := c.certificate(before.Name)
		switch {
		case err != nil:
			return err
		case d.Serial != before.Serial && d.Serial != "":
			fmt.Printf("renewed: %s, by %s, valid until %s\n", d.Name, d.Issuer, d.NotAfter.Local().Format(time.DateOnly))
			return nil
		case d.LastError != "" && d.NextTry != nil && (before.NextTry == nil || !d.NextTry.Equal(*before.NextTry)):
			return fmt.Errorf("%s (next try %s)", d.LastError, distance(d.NextTry, time.Now()))
		}
	}
	return fmt.Errorf("the CA has not answered yet: see portway certs show %s", before.Name)
}

// reasons are those of RFC 5280 section 5.3.1 that subscribers give.
var reasons = map[string]int{"unspecified": 0, "keyCompromise": 1, "affiliationChanged": 3, "superseded": 4, "cessationOfOperation": 5}

type certsRevokeCmd struct {
	Name   string `arg:"" help:"As in the list."`
	Reason string `enum:"unspecified,keyCompromise,affiliationChanged,superseded,cessationOfOperation" default:"unspecified" placeholder:"REASON" help:"unspecified, keyCompromise, affiliationChanged, superseded or cessationOfOperation. Default: unspecified."`
}

// Run returns when the CA has done it.
func (r certsRevokeCmd) Run(c *cli) error {
	if err := c.asking(http.MethodPost, certificatesPath+"/"+url.PathEscape(r.Name)+"/revoke", admin.Revocation{Reason: reasons[r.Reason]}, new(struct{})); err != nil {
		return err
	}
	fmt.Printf("revoked: %s; another certificate is being obtained\n", r.Name)
	return nil
}

type certsExportCmd struct {
	Name string `arg:"" help:"As in the list."`
	Cert string `placeholder:"FILE" help:"Where the certificate goes, with its chain. Default: NAME.crt; - for the standard output."`
	Key  string `placeholder:"FILE" help:"Where the key goes, for you alone to read. Default: NAME.key; - for the standard output."`
}

// Run writes PEM files.
func (e certsExportCmd) Run(c *cli) error {
	var got admin.Exported
	if err := c.asking(http.MethodPost, certificatesPath+"/"+url.PathEscape(e.Name)+"/export", struct{}{}, &got); err != nil {
		return err
	}
	base := strings.ReplaceAll(e.Name, "*", "wildcard")
	for _, file := range []struct {
		path, usual, content string
		mode                 fs.FileMode
	}{{e.Cert, base + ".crt", got.Chain, 0o644}, {e.Key, base + ".key", got.Key, 0o600}} {
		if file.path == "-" {
			fmt.Print(file.content)
			continue
		}
		if file.path == "" {
			file.path = file.usual
		}
		if err := atomicfile.Write(file.path, []byte(file.content), file.mode); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "wrote %s\n", file.path)
	}
	return nil
}
