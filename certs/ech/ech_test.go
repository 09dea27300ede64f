package ech

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func open(t *testing.T, folder, name string) *Keys {
	t.Helper()
	k, err := Open(folder, name, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ids are those of the keys that are accepted.
func ids(k *Keys) (all []uint8) {
	accepted, _ := k.Accepted(nil)
	for _, a := range accepted {
		all = append(all, a.Config[4])
	}
	return all
}

func TestKeysOutlastARestart(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "ech")
	first := open(t, folder, "public.example")
	if info, err := os.Stat(filepath.Join(folder, fileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := first.Rotate(); err != nil {
		t.Fatal(err)
	}
	again := open(t, folder, "public.example")
	if len(ids(again)) != 2 || !bytes.Equal(ids(again), ids(first)) || !bytes.Equal(again.State().ConfigList, first.State().ConfigList) {
		t.Errorf("keys %v became %v", ids(first), ids(again))
	}
	accepted, _ := again.Accepted(nil)
	if !accepted[0].SendAsRetry || accepted[1].SendAsRetry {
		t.Error("clients are to be told the key in use, and no old one")
	}
	other := open(t, folder, "other.example")
	if s := other.State(); s.PublicName != "other.example" || len(s.Old) != 2 {
		t.Errorf("after another name: %+v", s)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		k, successor := open(t, folder, "public.example"), open(t, folder, "public.example")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = successor.Run(ctx) }()
		first := k.State()
		time.Sleep(time.Hour)
		if err := k.Rotate(); err != nil {
			t.Fatal(err)
		}
		now := k.State()
		if now.ID == first.ID || len(now.Old) != 1 || now.Old[0].ID != first.ID || !now.Old[0].Until.Equal(time.Now().Add(Grace)) {
			t.Errorf("%+v became %+v", first, now)
		}
		time.Sleep(look + time.Second)
		if !bytes.Equal(ids(successor), ids(k)) {
			t.Error("another process with the same storage does not learn of a new key")
		}
		time.Sleep(Grace - 2*look)
		if len(ids(successor)) != 2 {
			t.Error("an old key is forgotten too early")
		}
		time.Sleep(3 * look)
		if len(ids(successor)) != 1 {
			t.Error("an old key is accepted for ever")
		}
		if content, err := os.ReadFile(filepath.Join(folder, fileName)); err != nil || strings.Count(string(content), `"private"`) != 1 {
			t.Errorf("an old key is still stored: %v", err)
		}
		for range maxKeys + 2 {
			if err := k.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[uint8]bool{}
		for _, id := range ids(k) {
			seen[id] = true
		}
		if len(ids(k)) != maxKeys || len(seen) != maxKeys {
			t.Errorf("keys %v, of which there are to be %d with different ids", ids(k), maxKeys)
		}
	})
}

// Two processes at once lose no key of each other.
func TestRotationSideBySide(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			k, err := Open(folder, "public.example", slog.New(slog.DiscardHandler))
			if err == nil {
				err = k.Rotate()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(ids(open(t, folder, "public.example"))); n != 5 {
		t.Errorf("%d keys, not 5", n)
	}
}

func TestWhatCannotBeWrittenIsNotOffered(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	k := open(t, folder, "public.example")
	before, path := k.State(), filepath.Join(folder, fileName)
	content, _ := os.ReadFile(path)
	// A folder of that name cannot be replaced by a file.
	for _, err := range []error{os.Remove(path), os.Mkdir(path, 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Rotate(); err == nil || !strings.Contains(err.Error(), "stay as they are") {
		t.Errorf("rotated: %v", err)
	}
	if k.State().ID != before.ID {
		t.Error("a key is offered that is not stored")
	}
	_ = os.Remove(path)
	if err := k.Rotate(); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("rotated without the file: %v", err)
	}
	if err := write(path, nil); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"empty": "", "no keys": `{"keys":[]}`, "null": `{"keys":[null]}`, "half": string(content[:len(content)/2]),
		"another key": strings.Replace(string(content), `"private": "`, `"private": "AAAA`, 1),
		"another config": func() string {
			other := *k.ring.Load().keys[0]
			other.Config = bytes.Clone(other.Config)
			other.Config[10] ^= 1 // of the public key
			path := filepath.Join(t.TempDir(), "x")
			if err := write(path, []*key{&other}); err != nil {
				t.Fatal(err)
			}
			content, _ := os.ReadFile(path)
			return string(content)
		}(),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(folder, "public.example", slog.New(slog.DiscardHandler)); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("%s: the file was changed", what)
		}
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if open(t, folder, "public.example").State().ID != before.ID {
		t.Error("another key than before")
	}
	if _, err := Open(filepath.Join(path, "below"), "public.example", nil); !errors.Is(err, fs.ErrExist) && err == nil {
		t.Error("opened below a file")
	}
}

// Trouble with the file is told once, and ends nothing.
func TestTroubleIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		folder := t.TempDir()
		k, err := Open(folder, "public.example", slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, fileName), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = k.Run(ctx) })
		time.Sleep(5*look + time.Second)
		cancel()
		wg.Wait()
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || len(ids(k)) != 1 {
			t.Errorf("told %d times, keys %v: %s", n, ids(k), log.String())
		}
	})
}

// The records are what DNS software reads.
func TestRecords(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "public.example").State()
	for _, c := range []struct {
		host      string
		port      int
		protocols []string
		want      string // without the list
	}{
		{"app.example.com", 443, []string{"h3", "h2", "http/1.1"}, `app.example.com. HTTPS 1 . alpn="h3,h2"`},
		{"*.example.com", 443, []string{"h2", "http/1.1"}, `*.example.com. HTTPS 1 . alpn="h2"`},
		{"old.example.com", 443, []string{"http/1.1"}, `old.example.com. HTTPS 1 .`},
		{"new.example.com", 443, []string{"h3", "h2"}, `new.example.com. HTTPS 1 . alpn="h3,h2" no-default-alpn`},
		{"app.example.com", 8443, []string{"h2", "http/1.1"}, `_8443._https.app.example.com. HTTPS 1 app.example.com. alpn="h2"`},
		{"*.example.com", 8443, []string{"h2"}, ""},
	} {
		line := s.Record(c.host, c.port, c.protocols)
		if c.want == "" {
			if line != "" {
				t.Errorf("%s: %s", c.host, line)
			}
			continue
		}
		if line != c.want+" ech="+base64.StdEncoding.EncodeToString(s.ConfigList) {
			t.Errorf("%s: %s", c.host, line)
		}
		parser := dns.NewZoneParser(strings.NewReader(line), ".", "zone")
		parser.SetDefaultTTL(3600)
		rr, ok := parser.Next()
		if !ok {
			t.Errorf("%s: %v", line, parser.Err())
			continue
		}
		var got []byte
		for _, v := range rr.(*dns.HTTPS).Value {
			if e, ok := v.(*dns.SVCBECHConfig); ok {
				got = e.ECH
			}
		}
		if _, err := dns.PackRR(rr, make([]byte, 1000), 0, nil, false); err != nil || !bytes.Equal(got, s.ConfigList) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestPublicNames(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"example.com", "a-b.xn--bcher-kva.example", "cover.lan"} {
		if err := CheckName(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"localhost": "single word", "192.0.2.1": "address", "2001:db8::1": "address", "a.1": "address", "a.0x7f": "address",
		"*.example.com": "wildcard", "a_b.example.com": "letters", "": "single word", "a..b": "letters", "-a.b": "letters",
		strings.Repeat("a.", 127) + "a": "longer",
	} {
		if err := CheckName(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", bad, err, want)
		}
	}
}
