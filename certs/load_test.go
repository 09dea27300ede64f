package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// fillStorage puts certificates of ca into a storage, as an earlier run would have, and
// returns their names. They share a key, which saves time and no memory.
func fillStorage(t *testing.T, folder string, ca *fakeCA, n int) []Name {
	t.Helper()
	key, err := certmagic.StandardKeyGenerator{KeyType: certmagic.P256}.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := certmagic.PEMEncodePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	issuer := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.Raw})
	all := make([]Name, n)
	todo := make(chan int)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for i := range todo {
				name := all[i].Name
				der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
					SerialNumber: big.NewInt(int64(i) + 1), NotBefore: time.Now(), NotAfter: time.Now().Add(ninetyDays), DNSNames: []string{name},
				}, ca.root, key.(crypto.Signer).Public(), ca.signs)
				if err != nil {
					t.Error(err)
					return
				}
				chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
				chain = append(chain, issuer...)
				dir := filepath.Join(folder, "certificates", "fake", name)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Error(err)
				}
				write(t, filepath.Join(dir, name+".key"), string(keyPEM))
				write(t, filepath.Join(dir, name+".crt"), string(chain))
				write(t, filepath.Join(dir, name+".json"), `{"sans":["`+name+`"],"issuer_data":{}}`)
			}
		})
	}
	for i := range all {
		all[i].Name = fmt.Sprintf("site-%d.example.com", i)
		todo <- i
	}
	close(todo)
	workers.Wait()
	return all
}

// inMemory is a folder that is quick to fill, where there is one.
func inMemory(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "portway-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// memory is what the process holds after a collection.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc + s.StackInuse
}

// 10,000 certificates, as one Portway should be able to hold. Not parallel, since it
// measures memory; with the race detector, whose memory and time say nothing, fewer.
func TestManyCertificates(t *testing.T) {
	many := 10_000
	if raceDetector {
		many = 500
	}
	folder, ca := inMemory(t), newFakeCA(t, ninetyDays)
	all := fillStorage(t, folder, ca, many)
	before := memory()
	start := time.Now()
	m, err := newManager(Config{Storage: folder, Directory: "https://ca.example/dir", Logger: slog.New(slog.DiscardHandler)}, defaultTiming(), ca.issuer)
	if err != nil {
		t.Fatal(err)
	}
	m.SetNames(all)
	defer run(t, m)()
	last := &tls.ClientHelloInfo{ServerName: all[len(all)-1].Name}
	for _, n := range all {
		<-m.names.Load().get(n.Name).loaded
	}
	took := time.Since(start)
	each := (memory() - before) / uint64(many)
	if cert, err := m.GetCertificate(last); err != nil || cert.Leaf.DNSNames[0] != last.ServerName {
		t.Fatalf("the last certificate: %v", err)
	}
	if n := len(ca.orders); n != 0 {
		t.Errorf("%d orders for what was in the storage", n)
	}
	allocs := testing.AllocsPerRun(1000, func() { _, _ = m.GetCertificate(last) })
	one := testing.Benchmark(func(b *testing.B) {
		for i := range b.N {
			last.ServerName = all[i%len(all)].Name
			if cert, err := m.GetCertificate(last); cert == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
	t.Logf("FIGURE: %d certificates: loaded in %v, %d bytes of memory each with what looks after it, a look-up takes %d ns and %.0f allocations",
		many, took.Round(time.Millisecond), each, one.NsPerOp(), allocs)
	if each > 32<<10 {
		t.Errorf("%d bytes for each certificate", each)
	}
	if allocs > 0 {
		t.Errorf("%.0f allocations for a look-up", allocs)
	}
}
