package main

import (
	"maps"
	"slices"
	"strings"

	"portway/certs"
	"portway/label"
)

// definition is what the setting ca-option says about one CA.
type definition struct{ certs.CA }

var _ label.Binder = (*definition)(nil)

// Labels binds the options of a CA.
func (d *definition) Labels(s *label.Set) {
	s.String(&d.Directory, "directory", "", "URL of its ACME directory.")
	s.String(&d.Roots, "roots", "", "File of roots to trust when speaking to it (PEM).")
	s.String(&d.EABKeyID, "eab-kid", "", "Key id of the account that new ones are bound to.")
	s.String(&d.EABKey, "eab-key", "", "Key of that account, base64.", label.Secret())
	s.String(&d.Profile, "profile", "", "Profile of certificates, by the CA's name for it.")
	s.List(&d.PreferredChain, "chain", "Common names of issuers; a chain with one of them is preferred.")
}

// cas reads what is said about CAs, the secrets from their files too.
func (r *runCmd) cas(inv *invocation) ([]certs.CA, error) {
	where := inv.where("ca-option")
	byName := make(map[string]label.Values)
	var lines []string
	for _, option := range slices.Sorted(maps.Keys(r.CAOption)) {
		name, rest, ok := strings.Cut(option, ".")
		if !ok || !label.ValidName(name) {
			lines = append(lines, where+": "+label.Quote(option)+" is not of the form NAME.OPTION, such as corp.directory; names have a-z, 0-9 and -")
			continue
		}
		if byName[name] == nil {
			byName[name] = make(label.Values)
		}
		byName[name][rest] = r.CAOption[option]
	}
	var all []certs.CA
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		d := definition{certs.CA{Name: name}}
		for _, p := range label.Parse(where, func(option string) string { return name + "." + option }, byName[name], &d) {
			lines = append(lines, p.String())
		}
		all = append(all, d.CA)
	}
	if lines != nil {
		return nil, &settingsError{lines}
	}
	return all, nil
}
