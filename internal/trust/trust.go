// Package trust brings a root certificate to devices: into the stores of this machine
// (the system's, and those of Firefox and Chromium), as a profile for iOS and macOS, and
// as a QR code of its address.
package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Machine is the machine whose stores are changed.
type Machine struct {
	OS    string   // as runtime.GOOS has it
	Root  string   // what its paths begin with; empty but in tests
	Homes []string // home folders of those whose browsers are to trust the root
	// Run runs a program and returns what it printed.
	Run func(name string, args ...string) (output []byte, err error)
	// Has tells whether there is such a program.
	Has func(name string) bool
}

// Run is a Machine's Run for the machine that we are on.
func Run(name string, args ...string) ([]byte, error) {
	return exec.Command(name, args...).CombinedOutput()
}

// Has is a Machine's Has for the machine that we are on.
func Has(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// Store is one place where a root is trusted.
type Store struct {
	Name string // for people
	Err  error  // nil: done
}

// systemStore is how a family of Linux distributions keeps roots of the user's.
type systemStore struct {
	folder string
	ending string
	apply  []string // the program that puts them into effect
}

var systemStores = []systemStore{
	{"/usr/local/share/ca-certificates", ".crt", []string{"update-ca-certificates"}},           // Debian, Ubuntu, Alpine
	{"/etc/pki/ca-trust/source/anchors", ".pem", []string{"update-ca-trust", "extract"}},       // Fedora, RHEL
	{"/etc/ca-certificates/trust-source/anchors", ".crt", []string{"trust", "extract-compat"}}, // Arch
	{"/usr/share/pki/trust/anchors", ".pem", []string{"update-ca-certificates"}},               // openSUSE
}

// databases are where browsers keep roots, below a home folder.
var databases = []string{
	".pki/nssdb", "snap/chromium/current/.pki/nssdb", // Chromium, Chrome, Edge
	".mozilla/firefox/*", "snap/firefox/common/.mozilla/firefox/*", ".var/app/org.mozilla.firefox/.mozilla/firefox/*",
	"Library/Application Support/Firefox/Profiles/*",
}

// Install makes the machine trust a root, and tells what became of each store. To do
// it again changes nothing.
func (m *Machine) Install(root *x509.Certificate) []Store {
	return slices.Concat(m.system(root, true), m.browsers(root, true))
}

// Uninstall undoes Install.
func (m *Machine) Uninstall(root *x509.Certificate) []Store {
	return slices.Concat(m.system(root, false), m.browsers(root, false))
}

// name is what a root is called in stores; it tells several of ours apart.
func name(root *x509.Certificate) string {
	sum := sha256.Sum256(root.Raw)
	return "portway-" + hex.EncodeToString(sum[:4])
}

func encode(root *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
}

func (m *Machine) system(root *x509.Certificate, install bool) []Store {
	switch m.OS {
	case "linux":
		return []Store{m.linux(root, install)}
	case "darwin":
		return []Store{m.macOS(root, install)}
	default:
		return []Store{{"the system", errors.New("is not one whose store Portway knows; `portway trust` tells what to do by hand")}}
	}
}

func (m *Machine) linux(root *x509.Certificate, install bool) Store {
	for _, s := range systemStores {
		folder := m.Root + s.folder
		if info, err := os.Stat(folder); err != nil || !info.IsDir() || !m.Has(s.apply[0]) {
			continue
		}
		file := filepath.Join(folder, name(root)+s.ending)
		var err error
		if install {
			err = os.WriteFile(file, encode(root), 0o644)
		} else if err = os.Remove(file); errors.Is(err, os.ErrNotExist) {
			return Store{s.folder, nil}
		}
		if errors.Is(err, os.ErrPermission) {
			err = fmt.Errorf("%w; run it with sudo", err)
		}
		if err == nil {
			err = m.run(s.apply[0], s.apply[1:]...)
		}
		return Store{s.folder, err}
	}
	return Store{"the system", errors.New("has none of the stores that Portway knows; install the package ca-certificates")}
}

const keychain = "/Library/Keychains/System.keychain"

func (m *Machine) macOS(root *x509.Certificate, install bool) Store {
	f, err := os.CreateTemp("", "portway-*.crt")
	if err != nil {
		return Store{keychain, err}
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(encode(root))
	if err = errors.Join(err, f.Close()); err != nil {
		return Store{keychain, err}
	}
	if install {
		return Store{keychain, m.run("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", keychain, f.Name())}
	}
	return Store{keychain, m.run("security", "remove-trusted-cert", "-d", f.Name())}
}

// browsers changes the databases of NSS, the library of Firefox and, on Linux, Chromium.
func (m *Machine) browsers(root *x509.Certificate, install bool) []Store {
	var stores []Store
	for _, home := range m.Homes {
		for _, pattern := range databases {
			found, _ := filepath.Glob(filepath.Join(home, pattern, "cert9.db"))
			for _, file := range found {
				stores = append(stores, m.database(root, filepath.Dir(file), install))
			}
		}
	}
	return stores
}

func (m *Machine) database(root *x509.Certificate, folder string, install bool) Store {
	if !m.Has("certutil") {
		return Store{folder, errors.New("needs the program certutil: install libnss3-tools (Debian), nss-tools (Fedora) or nss (Arch, Homebrew), and try again")}
	}
	db := "sql:" + folder
	_, missing := m.Run("certutil", "-L", "-d", db, "-n", name(root))
	if (missing == nil) == install {
		return Store{folder, nil}
	}
	if !install {
		return Store{folder, m.run("certutil", "-D", "-d", db, "-n", name(root))}
	}
	f, err := os.CreateTemp("", "portway-*.crt")
	if err != nil {
		return Store{folder, err}
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(encode(root))
	if err = errors.Join(err, f.Close()); err == nil {
		err = m.run("certutil", "-A", "-d", db, "-t", "C,,", "-n", name(root), "-i", f.Name())
	}
	return Store{folder, err}
}

// run makes of a program's failure what it said.
func (m *Machine) run(program string, args ...string) error {
	out, err := m.Run(program, args...)
	if err == nil {
		return nil
	}
	if text := strings.TrimSpace(string(out)); text != "" {
		return fmt.Errorf("%s: %w: %s", program, err, text)
	}
	return fmt.Errorf("%s: %w", program, err)
}
