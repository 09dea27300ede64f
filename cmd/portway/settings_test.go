package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// settingsFile writes a settings file and returns its path.
func settingsFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "portway.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A flag goes before the environment, the environment before the file, the file
// before the default; each setting by itself.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	drain := func(c *cli) any { return time.Duration(c.Run.Drain) }
	routes := func(c *cli) any { return c.Run.Default }
	for _, tc := range []struct {
		name string
		args []string
		env  []string
		file string
		of   func(*cli) any
		want any
	}{
		{"default", nil, nil, "", drain, 30 * time.Second},
		{"file", nil, nil, "drain: 1s", drain, time.Second},
		{"environment over file", nil, []string{"PORTWAY_DRAIN=2s"}, "drain: 1s", drain, 2 * time.Second},
		{"flag over both", []string{"--drain=3s"}, []string{"PORTWAY_DRAIN=2s"}, "drain: 1s", drain, 3 * time.Second},
		{"flag over a wrong one elsewhere", []string{"--drain=3s"}, []string{"PORTWAY_DRAIN=soon"}, "drain: later", drain, 3 * time.Second},
		{"flag behind the command", []string{"run", "--drain=3s"}, nil, "", drain, 3 * time.Second},
		// compose files pass ${NAME:-} on, which is empty if nobody sets it
		{"empty variable is no value", nil, []string{"PORTWAY_DRAIN="}, "drain: 1s", drain, time.Second},
		{"switch by environment", nil, []string{"PORTWAY_ACME_STAGING=true"}, "", func(c *cli) any { return c.Run.ACMEStaging }, true},
		{"switch by file", nil, nil, "acme-staging: true", func(c *cli) any { return c.Run.ACMEStaging }, true},
		{"switch off over file", nil, []string{"PORTWAY_ACME_STAGING=false"}, "acme-staging: true", func(c *cli) any { return c.Run.ACMEStaging }, false},
		{"list by environment", nil, []string{"PORTWAY_HTTP=127.0.0.1:80, [::1]:80"}, "", func(c *cli) any { return c.Run.HTTP }, addresses{"127.0.0.1:80", "[::1]:80"}},
		{"list by file", nil, nil, "http: [80, '127.0.0.1:8080']", func(c *cli) any { return c.Run.HTTP }, addresses{":80", "127.0.0.1:8080"}},
		{"off is an empty list", nil, nil, "http: off", func(c *cli) any { return c.Run.HTTP }, addresses(nil)},
		{"defaults by flags", []string{"--default=compress=true", "--default=ip.allow=192.0.2.1, private"}, nil, "", routes, routeOptions{"compress": "true", "ip.allow": "192.0.2.1, private"}},
		{"defaults by environment", nil, []string{"PORTWAY_DEFAULT=portway.compress = true\n\n  ip.allow=192.0.2.1,private"}, "default: [https=only]", routes, routeOptions{"compress": " true", "ip.allow": "192.0.2.1,private"}},
		{"defaults by file", nil, nil, "default: [compress=true, 'ip.allow=192.0.2.1,private']", routes, routeOptions{"compress": "true", "ip.allow": "192.0.2.1,private"}},
		{"constraints", nil, []string{"PORTWAY_CONSTRAINT=a=b,!c"}, "", func(c *cli) any { return c.Run.Constraint }, []string{"a=b", "!c"}},
		{"environment of another setting", nil, []string{"PORTWAY_EMAIL=me@example.com"}, "drain: 1s", drain, time.Second},
		{"setting of all commands", nil, nil, "control: /tmp/c", func(c *cli) any { return c.Control }, "/tmp/c"},
		{"comments only", nil, nil, "# nothing yet\n", drain, 30 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			inv, err := parse(append(tc.args, "--config="+settingsFile(t, tc.file)), tc.env)
			if err != nil {
				t.Fatal(err)
			}
			if got := tc.of(inv.cli); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSettingsFileByEnvironment(t *testing.T) {
	t.Parallel()
	inv, err := parse(nil, []string{"PORTWAY_CONFIG=" + settingsFile(t, "email: me@example.com")})
	if err != nil || inv.cli.Run.Email != "me@example.com" {
		t.Errorf("email %q, %v", inv.cli.Run.Email, err)
	}
}

// The same settings file and environment serve healthcheck, which runs beside
// "portway run"; a mistake that the start reports must not make it unhealthy.
func TestOtherCommandsTakeOnlyTheirSettings(t *testing.T) {
	t.Parallel()
	inv, err := parse([]string{"healthcheck"}, []string{"PORTWAY_CONTROL=/x", "PORTWAY_DRAIN=soon", "PORTWAY_DRIAN=1s"})
	if err != nil || inv.cli.Control != "/x" {
		t.Errorf("control %q, %v", inv.cli.Control, err)
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	inv, err := parse([]string{"--trusted-proxies=192.0.2.1,2001:db8::/32,private"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := flatten(inv.cli.Run.TrustedProxies)
	for _, want := range []string{"192.0.2.1/32", "2001:db8::/32", "10.0.0.0/8", "fc00::/7", "::1/128"} {
		found := false
		for _, p := range got {
			found = found || p == netip.MustParsePrefix(want)
		}
		if !found {
			t.Errorf("%s is not trusted: %v", want, got)
		}
	}
	for _, p := range got {
		if p.Contains(netip.MustParseAddr("203.0.113.9")) {
			t.Errorf("%s trusts a public address", p)
		}
	}
}

// The image's defaults must not win over the settings file, as PORTWAY_STORAGE
// in the Dockerfile would.
func TestImageDefaults(t *testing.T) {
	t.Parallel()
	image := []string{"PORTWAY_DEFAULTS=image"}
	inv, err := parse(nil, image)
	if err != nil {
		t.Fatal(err)
	}
	c := inv.cli
	if c.Run.Storage != "/data" || c.Control != "/run/portway/control.sock" || c.User != "65532:65532" {
		t.Errorf("in the image: storage %q, control %q, user %q", c.Run.Storage, c.Control, c.User)
	}
	inv, err = parse([]string{"--config=" + settingsFile(t, "storage: /certs")}, image)
	if err != nil || inv.cli.Run.Storage != "/certs" {
		t.Errorf("by file: storage %q, %v", inv.cli.Run.Storage, err)
	}
	for _, tc := range []struct{ env, want string }{
		{"XDG_DATA_HOME=/x", "/x/portway"},
		{"PATH=/bin", "/var/lib/portway"},
	} {
		if got := defaults(newSources([]string{tc.env}).env); got["storage"] != tc.want || got["user"] != "" {
			t.Errorf("with %s: %v", tc.env, got)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]identity{"1000": {1000, 1000}, "65532:65532": {65532, 65532}, "1:2": {1, 2}, "0": {0, 0}} {
		if got, err := parseIdentity(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "root", "1:", ":1", "-1", "1:2:3", "4294967296"} {
		if got, err := parseIdentity(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

// Whatever is in the file, the start is refused with the file and line named,
// and never with a panic.
func FuzzSettingsFile(f *testing.F) {
	for _, seed := range []string{
		"", "drain: 1s", "http: [80, 443]", "- a\n- b", "a: {b: c}", "drain: &x 1s\nemail: *x", "x: *x", "\x00", "a: [[1]]", "drain: 1s\ndrain: 2s",
		"? [a]\n: b", "<<: {drain: 1s}", "%YAML 1.1\n---\na: b\n---\nc: d", "&a [*a]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		s := newSources(nil)
		s.file, s.path = map[string]given{}, "portway.yaml"
		err := s.parseFile([]byte(content))
		if bad := (*settingsError)(nil); err != nil && (!errors.As(err, &bad) || !strings.HasPrefix(bad.Error(), "portway.yaml:")) {
			t.Errorf("%q: %v", content, err)
		}
	})
}
