package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"

	"portway/admin"
	"portway/certs/migrate"
)

type certsImportCmd struct {
	Path string `arg:"" help:"Traefik's acme.json, Caddy's data folder, or the folder of certificates of nginx-proxy's acme-companion."`
}

// Run reads the storage as the user that we are, and gives what is in it to the
// running Portway.
func (i certsImportCmd) Run(c *cli) error {
	found, err := migrate.Read(i.Path)
	if err != nil {
		return err
	}
	all := admin.Import{Certificates: []admin.Imported{}, Accounts: []admin.ImportedAccount{}}
	for _, f := range found.Certificates {
		all.Certificates = append(all.Certificates, admin.Imported{Exported: admin.Exported{Chain: string(f.Chain), Key: string(f.Key)}, CA: f.CA, Source: f.Source})
	}
	for _, a := range found.Accounts {
		all.Accounts = append(all.Accounts, admin.ImportedAccount{CA: a.CA, Email: a.Email, Key: string(a.Key), Source: a.Source})
	}
	var results []admin.ImportResult
	if err := c.asking(http.MethodPost, certificatesPath+"/import", all, &results); err != nil {
		return err
	}
	taken := 0
	for _, r := range results {
		if r.Why == "" {
			taken++
			fmt.Printf("imported: %s\n", r.What)
		} else {
			fmt.Printf("left out: %s: %s\n", r.What, r.Why)
		}
	}
	for _, s := range found.Skipped {
		fmt.Printf("left out: %s: %s\n", s.Source, s.Why)
	}
	fmt.Printf("%s: %d imported, %d left out\n", found.Kind, taken, len(results)-taken+len(found.Skipped))
	if taken == 0 && len(results)+len(found.Skipped) > 0 {
		return errors.New("nothing was imported")
	}
	return nil
}

// takeOver imports at the start what --import names.
func (c certificates) takeOver(ctx context.Context, found migrate.Found, logger *slog.Logger) {
	for _, r := range c.Import(ctx, found) {
		if r.Why != "" {
			logger.Info("not imported", "what", r.What, "why", r.Why)
		}
	}
	for _, s := range found.Skipped {
		logger.Warn("not imported", "what", s.Source, "why", s.Why)
	}
}

// commands is what the control socket does with certificates.
func (c certificates) commands() admin.Certificates {
	return admin.Certificates{
		All:    c.details,
		Renew:  c.Renew,
		Revoke: c.Revoke,
		Export: func(name string) (admin.Exported, error) {
			chain, key, err := c.Export(name)
			return admin.Exported{Chain: string(chain), Key: string(key)}, err
		},
		Import: func(ctx context.Context, i admin.Import) ([]admin.ImportResult, error) {
			var found migrate.Found
			for _, x := range i.Certificates {
				found.Certificates = append(found.Certificates, migrate.Certificate{Chain: []byte(x.Chain), Key: []byte(x.Key), CA: x.CA, Source: x.Source})
			}
			for _, a := range i.Accounts {
				found.Accounts = append(found.Accounts, migrate.Account{CA: a.CA, Email: a.Email, Key: []byte(a.Key), Source: a.Source})
			}
			results := []admin.ImportResult{}
			for _, r := range c.Import(ctx, found) {
				results = append(results, admin.ImportResult{What: r.What, Why: r.Why})
			}
			return results, nil
		},
	}
}

func (c certificates) details() []admin.CertificateDetails {
	all := []admin.CertificateDetails{}
	for _, s := range c.All() {
		all = append(all, admin.CertificateDetails{
			Certificate: described(s), NotBefore: known(s.NotBefore),
			Serial: s.Serial, Fingerprint: s.Fingerprint, KeyType: s.KeyType, Profile: s.Profile,
		})
	}
	return all
}

// leftByOthers is what --import names; it may be root's, and so is read first.
func (r *runCmd) leftByOthers(inv *invocation) (migrate.Found, error) {
	if r.Import == "" {
		return migrate.Found{}, nil
	}
	found, err := migrate.Read(r.Import)
	if errors.Is(err, fs.ErrNotExist) { // as after the other proxy was removed
		return migrate.Found{Skipped: []migrate.Skipped{{Source: r.Import, Why: "it is not there"}}}, nil
	}
	if err != nil {
		return found, &settingsError{[]string{fmt.Sprintf("%s: %v", inv.where("import"), err)}}
	}
	return found, nil
}

// onSocket is what the control socket answers. The commands for certificates are
// there and nowhere else, since they give keys away.
func onSocket(status http.Handler, c certificates, board http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(certificatesPath, c.commands().Handler())
	mux.Handle(certificatesPath+"/", c.commands().Handler())
	mux.Handle(dashboardPath+"/", board)
	mux.Handle("/", status)
	return mux
}
