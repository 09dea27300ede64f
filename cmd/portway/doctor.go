package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"

	"portway/admin"
	"portway/discovery"
	"portway/doctor"
)

// doctorCmd is "portway doctor".
type doctorCmd struct {
	PublicAddress []netip.Addr `placeholder:"ADDRESS,..." help:"Where the internet reaches this machine (IPv4, IPv6), which it cannot know itself behind a router or in a container. Default: the public addresses of its interfaces."`
	JSON          bool         `name:"json" help:"Print JSON."`
}

// Run looks at the machine by the settings of the environment and the settings file. The
// exit status is 0 if nothing is bad, 1 if something is, 2 if settings cannot be used.
func (x doctorCmd) Run(inv *invocation, c *cli) error {
	var args []string
	if c.Config != "" {
		args = []string{"--config=" + c.Config}
	}
	run, err := parseSettings(args, inv.environ)
	if err != nil {
		return exit{2, err}
	}
	report := x.examine(run, c)
	if x.JSON {
		err = report.WriteJSON(os.Stdout)
	} else {
		err = report.WriteText(os.Stdout)
	}
	if err == nil && !report.Healthy() {
		err = exit{status: 1}
	}
	return err
}

// examine begins with what needs root, and goes on as the user that serves.
func (x doctorCmd) examine(run *invocation, c *cli) doctor.Report {
	ctx, r := context.Background(), &run.cli.Run
	engine, err := r.dial(run)
	var report doctor.Report
	switch {
	case err != nil:
		report = append(report, doctor.Finding{Status: doctor.Bad, About: "engine", What: err.Error()})
	case engine != discovery.Engine(nil):
		report = append(report, doctor.Engine(ctx, engine)...)
	}
	report = append(report, seen(c.Control)...)
	cas, err := r.cas(run)
	if err != nil {
		report = append(report, doctor.Finding{Status: doctor.Bad, About: "CA", What: err.Error()})
	}
	hosts := r.hosts(ctx, engine, c.Control)
	var certificates []admin.CertificateDetails
	ours := askJSON(c.Control, certificatesPath, &certificates) == nil
	report = append(report, namesIn(certificates)...)
	for _, address := range r.HTTP {
		report = append(report, doctor.Port(ctx, "tcp", address, ours))
	}
	for _, address := range r.HTTPS {
		report = append(report, doctor.Port(ctx, "tcp", address, ours))
		if r.HTTP3 {
			report = append(report, doctor.Port(ctx, "udp", address, ours))
		}
	}
	if err := c.becomeUser(); err != nil {
		report = append(report, doctor.Finding{Status: doctor.Bad, About: "user", What: err.Error()})
	}
	report = append(report, doctor.Storage(r.Storage), doctor.OpenFiles())
	if r.HTTP3 && len(r.HTTPS) > 0 {
		report = append(report, doctor.UDPBuffer())
	}
	report = append(report, x.dnsOf(ctx, r, hosts, ours)...)
	return append(report, r.askCAs(ctx, cas)...)
}

// namesIn tells about names that lack a certificate.
func namesIn(certificates []admin.CertificateDetails) doctor.Report {
	var all []doctor.Certificate
	for _, x := range certificates {
		all = append(all, doctor.Certificate{Name: x.Name, Valid: x.State == "valid", LastError: x.LastError, NextTry: x.NextTry})
	}
	return doctor.Certificates(all)
}

// roots is whom to trust as a CA's server; nil for the system's.
func roots(file string) *tls.Config {
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}
