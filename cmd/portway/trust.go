package main

import (
	"fmt"

	"portway/admin"
)

// caPath is where the internal CA's root is downloaded over plain HTTP: a
// client that does not trust it yet cannot come by HTTPS.
const caPath = "/.well-known/portway/ca.crt"

// trustCmd is "portway trust".
type trustCmd struct {
	PEM bool `help:"Print only the certificate, in PEM."`
}

// Run asks the running Portway, so that the root is never made by the wrong
// user or in the wrong folder.
func (t trustCmd) Run(c *cli) error {
	if err := c.becomeUser(); err != nil {
		return err
	}
	var root admin.Root
	if err := askJSON(c.Control, "/v1/ca", &root); err != nil {
		return err
	}
	if t.PEM {
		fmt.Print(root.PEM)
		return nil
	}
	fmt.Printf(trustHelp, root.Path, caPath, root.PEM)
	return nil
}

const trustHelp = `The root certificate of Portway's internal CA is in
  %s
and anyone can download it from
  http://<any host that Portway serves>%s

Trust it once on each device that should open the sites without a warning:
  Debian, Ubuntu   sudo cp ca.crt /usr/local/share/ca-certificates/portway.crt && sudo update-ca-certificates
  Fedora, RHEL     sudo cp ca.crt /etc/pki/ca-trust/source/anchors/portway.crt && sudo update-ca-trust
  Arch             sudo trust anchor ca.crt
  macOS            sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.crt
  Windows          certutil -addstore -f ROOT ca.crt
  Firefox          Settings, Privacy & Security, View Certificates, Authorities, Import
  iOS, Android     open the download address in the browser and follow the dialogue
  curl             curl --cacert ca.crt https://...
Only trust it if this Portway is yours: whoever has its key can speak for any site to these devices.

%s`
