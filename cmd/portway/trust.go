package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"runtime"
	"strings"

	"portway/admin"
	"portway/internal/trust"
)

// trustCmd is "portway trust".
type trustCmd struct {
	PEM       bool   `help:"Print only the certificate, in PEM."`
	Install   bool   `help:"Make this machine trust it: the system, and the browsers of the user who runs this (with sudo)."`
	Uninstall bool   `help:"Undo --install."`
	QR        bool   `name:"qr" help:"Show the address of the download as a QR code, for phones."`
	Address   string `placeholder:"HOST[:PORT]" help:"Where phones reach Portway's plain HTTP, for --qr. Default: the address of this machine."`
	From      string `arg:"" optional:"" placeholder:"FILE|URL" help:"The certificate, or the address of its download, where Portway does not run on this machine, or runs in a container."`
}

// Run asks the running Portway, so that the root is never made by the wrong
// user or in the wrong folder.
func (t trustCmd) Run(c *cli) error {
	if t.QR {
		return t.showQR()
	}
	var root admin.Root
	var err error
	if t.From != "" {
		root, err = readRoot(t.From)
	} else {
		root, err = t.ask(c)
	}
	switch {
	case err != nil:
		return err
	case t.Install && t.Uninstall:
		return errors.New("--install and --uninstall: choose one")
	case t.Install || t.Uninstall:
		return t.change(root.PEM + root.OtherPEM)
	case t.PEM:
		fmt.Print(root.PEM, root.OtherPEM)
		return nil
	}
	bounds := "It can certify private names and addresses only."
	if !root.Bounded {
		bounds = "Only trust it if this Portway is yours: whoever has its key can speak for any site to these devices."
	}
	other := ""
	if root.OtherPEM != "" {
		other = fmt.Sprintf(otherHelp, root.OtherPath, caAnyPath, root.OtherPEM)
	}
	fmt.Printf(trustHelp, root.Path, caPath, profilePath, bounds, root.PEM, other)
	return nil
}

// ask gets the roots from the running Portway. To change the system's store, this
// process has to stay root.
func (t trustCmd) ask(c *cli) (root admin.Root, err error) {
	if t.Install || t.Uninstall {
		if _, err := os.Stat("/.dockerenv"); err == nil {
			return root, errors.New("this is inside of a container, whose stores nobody looks at: on the machine itself, run portway trust --install http://localhost" +
				caPath + ", or see what portway trust says")
		}
	} else if err := c.becomeUser(); err != nil {
		return root, err
	}
	return root, askJSON(c.Control, "/v1/ca", &root)
}

// readRoot takes the root from a file or an address.
func readRoot(from string) (root admin.Root, err error) {
	const largest = 1 << 20
	var content []byte
	if strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://") {
		client := &http.Client{Timeout: controlTimeout}
		resp, err := client.Get(from)
		if err != nil {
			return root, err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return root, fmt.Errorf("%s: %s", from, resp.Status)
		}
		content, err = io.ReadAll(io.LimitReader(resp.Body, largest))
		if err != nil {
			return root, err
		}
	} else if content, err = os.ReadFile(from); err != nil {
		return root, err
	}
	certs, err := parseRoots(string(content))
	if err != nil {
		return root, fmt.Errorf("%s: %w", from, err)
	}
	return admin.Root{PEM: string(content), Path: from, Bounded: len(certs[0].PermittedDNSDomains) > 0}, nil
}

func parseRoots(text string) (roots []*x509.Certificate, err error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !root.IsCA {
			return nil, errors.New("holds something else than the certificate of a CA")
		}
		roots = append(roots, root)
	}
	if len(roots) == 0 {
		return nil, errors.New("is no PEM certificate")
	}
	return roots, nil
}

// change installs roots, or removes them.
func (t trustCmd) change(text string) error {
	roots, err := parseRoots(text)
	if err != nil {
		return err
	}
	m := &trust.Machine{OS: runtime.GOOS, Homes: homes(), Run: trust.Run, Has: trust.Has}
	failed := 0
	for _, root := range roots {
		fmt.Printf("%s (SHA-256 %X), good until %s\n", root.Subject.CommonName, sha256.Sum256(root.Raw), root.NotAfter.Format("2006-01-02"))
		what, stores := "trusted by", m.Install
		if t.Uninstall {
			what, stores = "removed from", m.Uninstall
		}
		for _, s := range stores(root) {
			if s.Err != nil {
				failed++
				fmt.Printf("  not %s %s: %v\n", what, s.Name, s.Err)
				continue
			}
			fmt.Printf("  %s %s\n", what, s.Name)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of the stores could not be changed", failed)
	}
	return nil
}

// homes are those of the user who runs this, also through sudo.
func homes() []string {
	list := []string{}
	if name := os.Getenv("SUDO_USER"); name != "" {
		if u, err := user.Lookup(name); err == nil {
			list = append(list, u.HomeDir)
		}
	}
	if home, err := os.UserHomeDir(); err == nil && len(list) == 0 {
		list = append(list, home)
	}
	return list
}

// showQR draws the address of the download.
func (t trustCmd) showQR() error {
	at := t.Address
	if at == "" {
		var err error
		if at, err = ownAddress(); err != nil {
			return err
		}
	}
	for _, d := range []struct{ what, path string }{{"Android and others", caPath}, {"iPhone and iPad", profilePath}} {
		address := "http://" + at + d.path
		code, err := trust.QR(address, isTerminal(os.Stdout))
		if err != nil {
			return fmt.Errorf("%s does not fit into a QR code: %w", address, err)
		}
		fmt.Printf("%s: %s\n%s\n", d.what, address, code)
	}
	return nil
}

// ownAddress is where others on the local network reach this machine.
func ownAddress() (string, error) {
	hint := errors.New("the address at which phones reach this machine is not known here: give --address, for example --address 192.168.1.10")
	if _, err := os.Stat("/.dockerenv"); err == nil {
		return "", hint
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || strings.HasPrefix(i.Name, "docker") || strings.HasPrefix(i.Name, "br-") || strings.HasPrefix(i.Name, "veth") {
			continue
		}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsPrivate() {
				return p.Addr().String(), nil
			}
		}
	}
	return "", hint
}

const trustHelp = `The root certificate of Portway's internal CA is in
  %s
and anyone can download it from
  http://<any host that Portway serves>%s

Trust it once on each device that should open the sites without a warning:
  This machine     sudo portway trust --install
  Debian, Ubuntu   sudo cp ca.crt /usr/local/share/ca-certificates/portway.crt && sudo update-ca-certificates
  Fedora, RHEL     sudo cp ca.crt /etc/pki/ca-trust/source/anchors/portway.crt && sudo update-ca-trust
  Arch             sudo trust anchor ca.crt
  macOS            sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.crt
  Windows          certutil -addstore -f ROOT ca.crt
  Firefox          Settings, Privacy & Security, View Certificates, Authorities, Import
  Android          open the download address, then Settings, Security, Install a certificate, CA certificate
  iOS              open http://<any host>%s, install the profile in
                   Settings, then switch it on in General, About, Certificate Trust Settings
  Phones           portway trust --qr shows these addresses as QR codes
  curl             curl --cacert ca.crt https://...
%s

%s%s`

const otherHelp = `
Some names are neither below a private suffix nor private addresses, such as single words.
Their certificates come from another root, which is bound to nothing; trust it only for their sake:
  %s
  http://<any host that Portway serves>%s

%s`
