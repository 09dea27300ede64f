package label_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"portway/label"
)

// kit binds one option of each type, like a large middleware would.
type kit struct {
	Hosts    []string
	Title    string
	On       bool
	Port     int
	Weight   int
	Priority int
	Wait     time.Duration
	MaxBody  int64
	Mode     mode
	Even     string
	Nets     []string
	Users    string
	Pin      int
}

type mode string

func (k *kit) Labels(s *label.Set) {
	s.List(&k.Hosts, "host", "Hosts.", label.Example("app.example.com"))
	s.String(&k.Title, "title", "none", "Title.")
	s.Bool(&k.On, "on", true, "On.")
	s.Int(&k.Port, "port", 0, "Port.", label.Range(1, 65535), label.Example("8080"))
	s.Int(&k.Weight, "weight", 1, "Weight.")
	s.Int(&k.Priority, "priority", 0, "Priority.", label.Range(-9, 9))
	s.Duration(&k.Wait, "health.wait", 90*time.Second, "Wait.")
	s.Size(&k.MaxBody, "max-body", 10<<20, "Largest body.")
	label.Enum(s, &k.Mode, "mode", "fast", []mode{"fast", "careful"}, "Mode.")
	s.Func("even", "even text", "Even.", func(v string) error {
		if len(v)%2 == 1 {
			return errors.New("has an odd length")
		}
		k.Even = v
		return nil
	}, label.Default("no"), label.Example("aa"))
	s.Each("net", "Nets.", func(item string) error {
		if !strings.Contains(item, "/") {
			return &label.Error{Why: label.Quote(item) + " has no /", Fix: "write " + item + "/32"}
		}
		k.Nets = append(k.Nets, item)
		return nil
	})
	s.String(&k.Users, "basic-auth.users", "", "Users.", label.Secret())
	s.Int(&k.Pin, "pin", 0, "Pin.", label.Secret(), label.Example("1234"))
}

var _ label.Binder = (*kit)(nil)

func parse(values label.Values) (kit, []label.Problem) {
	var k kit
	problems := label.Parse(`container "web"`, func(o string) string { return label.Key("", o) }, values, &k)
	return k, problems
}

var defaults = kit{Title: "none", On: true, Weight: 1, Wait: 90 * time.Second, MaxBody: 10 << 20, Mode: "fast"}

func TestValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		option, value string
		want          func(k *kit) // what differs from the defaults
	}{
		{"host", "a", func(k *kit) { k.Hosts = []string{"a"} }},
		{"host", " a , b,c ", func(k *kit) { k.Hosts = []string{"a", "b", "c"} }},
		{"title", "  two words ", func(k *kit) { k.Title = "two words" }},
		{"on", "false", func(k *kit) { k.On = false }},
		{"port", " 65535\n", func(k *kit) { k.Port = 65535 }},
		{"weight", "0", func(k *kit) { k.Weight = 0 }},
		{"priority", "-9", func(k *kit) { k.Priority = -9 }},
		{"health.wait", "0", func(k *kit) { k.Wait = 0 }},
		{"health.wait", "1h30m", func(k *kit) { k.Wait = 90 * time.Minute }},
		{"health.wait", "1.5s", func(k *kit) { k.Wait = 1500 * time.Millisecond }},
		{"health.wait", "7d", func(k *kit) { k.Wait = 7 * 24 * time.Hour }},
		{"health.wait", "1d12h", func(k *kit) { k.Wait = 36 * time.Hour }},
		{"max-body", "0", func(k *kit) { k.MaxBody = 0 }},
		{"max-body", "512", func(k *kit) { k.MaxBody = 512 }},
		{"max-body", "512B", func(k *kit) { k.MaxBody = 512 }},
		{"max-body", "10KiB", func(k *kit) { k.MaxBody = 10 << 10 }},
		{"max-body", "1 gib", func(k *kit) { k.MaxBody = 1 << 30 }},
		{"max-body", "1.5MB", func(k *kit) { k.MaxBody = 1_500_000 }},
		{"max-body", "2kB", func(k *kit) { k.MaxBody = 2000 }},
		{"mode", "careful", func(k *kit) { k.Mode = "careful" }},
		{"even", "aabb", func(k *kit) { k.Even = "aabb" }},
		{"net", "10.0.0.0/8, ::/0", func(k *kit) { k.Nets = []string{"10.0.0.0/8", "::/0"} }},
		{"basic-auth.users", " kept as it is ", func(k *kit) { k.Users = " kept as it is " }},
		{"pin", "99", func(k *kit) { k.Pin = 99 }},
	}
	for _, tt := range tests {
		want := defaults
		tt.want(&want)
		got, problems := parse(label.Values{tt.option: tt.value})
		if len(problems) > 0 {
			t.Errorf("%s=%q: %v", tt.option, tt.value, problems)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s=%q gives %+v, want %+v", tt.option, tt.value, got, want)
		}
	}
}

// Every wrong value has one Problem that tells what is accepted, and leaves the
// default behind.
func TestWrongValues(t *testing.T) {
	t.Parallel()
	const (
		duration = "; write a number with a unit (ms, s, m, h or d), for example 30s"
		size     = "; write a number of bytes, with a unit if you like (KiB, MiB, GiB, kB, MB, GB), for example 10MiB"
	)
	tests := []struct{ option, value, want string }{
		{"host", "", "is empty; give it a value (for example app.example.com) or remove it"},
		{"title", " \n", "is empty; give it a value or remove it"},
		{"host", "a,,b", `has an empty item in "a,,b"; write one comma between items, for example one,two`},
		{"host", "a,", `has an empty item in "a,"; write one comma between items, for example one,two`},
		{"on", "yes", `"yes" is neither true nor false; write true or false`},
		{"port", "http", `"http" is not a whole number; write a whole number from 1 to 65535`},
		{"port", "0", `"0" is out of range; write a whole number from 1 to 65535`},
		{"port", "65536", `"65536" is out of range; write a whole number from 1 to 65535`},
		{"port", "99999999999999999999", `"99999999999999999999" is not a whole number; write a whole number from 1 to 65535`},
		{"weight", "-1", `"-1" is out of range; write a whole number of 0 or more`},
		{"weight", "1.5", `"1.5" is not a whole number; write a whole number of 0 or more`},
		{"health.wait", "30", `"30" has no unit` + duration},
		{"health.wait", "-30s", `"-30s" is not a duration` + duration},
		{"health.wait", "1d-1h", `"1d-1h" is not a duration` + duration},
		{"health.wait", "+1s", `"+1s" is not a duration` + duration},
		{"health.wait", "d", `"d" is not a duration` + duration},
		{"health.wait", "soon", `"soon" is not a duration` + duration},
		{"health.wait", "106752d", `"106752d" is not a duration` + duration},
		{"health.wait", "106751d24h", `"106751d24h" is not a duration` + duration},
		{"max-body", "10M", `"10M" is not a size; write 10MiB (or 10MB for powers of ten)`},
		{"max-body", "10potatoes", `"10potatoes" is not a size` + size},
		{"max-body", "-1", `"-1" is not a size` + size},
		{"max-body", "1e3", `"1e3" is not a size` + size},
		{"max-body", "MiB", `"MiB" is not a size` + size},
		{"max-body", "8388608TiB", `"8388608TiB" is too large` + size},
		{"max-body", "8388608.0TiB", `"8388608.0TiB" is too large` + size},
		{"max-body", "99999999999999999999", `"99999999999999999999" is too large` + size},
		{"mode", "carful", `"carful" is not known here; did you mean careful? It takes fast, careful`},
		{"mode", "x", `"x" is not known here; write one of fast, careful`},
		{"even", "abc", "has an odd length; for example portway.even: aa"},
		{"net", "10.0.0.0/8,10.1.1.1", `"10.1.1.1" has no /; write 10.1.1.1/32`},
		{"title\x00", "x", `unknown label; did you mean portway.title?`},
		{"on", strings.Repeat("a\n", 99), `"` + strings.Repeat(`a\n`, 40) + `…" is neither true nor false; write true or false`},
	}
	for _, tt := range tests {
		got, problems := parse(label.Values{tt.option: tt.value})
		if len(problems) != 1 {
			t.Errorf("%s=%q: %d problems, want 1: %v", tt.option, tt.value, len(problems), problems)
			continue
		}
		want := label.Problem{Source: `container "web"`, Key: "portway." + tt.option}
		want.Why, want.Fix, _ = strings.Cut(tt.want, "; ")
		if problems[0] != want {
			t.Errorf("%s=%q\n got: %v\nwant: %v", tt.option, tt.value, problems[0], want)
		}
		got.Nets = nil // what parse did before its error is its own
		if !reflect.DeepEqual(got, defaults) {
			t.Errorf("%s=%q leaves %+v, want the defaults", tt.option, tt.value, got)
		}
	}
}

// One wrong value does not hide another, and the order is stable.
func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, problems := parse(label.Values{"port": "x", "on": "x", "hots": "x", "mode": "careful"})
	var keys []string
	for _, p := range problems {
		keys = append(keys, p.Key)
	}
	if want := []string{"portway.hots", "portway.on", "portway.port"}; !reflect.DeepEqual(keys, want) {
		t.Errorf("problems about %v, want %v", keys, want)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	want := map[string]label.Option{
		"host":             {Type: "list", Example: "app.example.com"},
		"title":            {Type: "text", Default: "none"},
		"on":               {Type: "true/false", Default: "true"},
		"port":             {Type: "number", Example: "8080", Min: 1, Max: 65535},
		"weight":           {Type: "number", Default: "1"},
		"priority":         {Type: "number", Default: "0", Min: -9, Max: 9},
		"health.wait":      {Type: "duration", Default: "1m30s"},
		"max-body":         {Type: "size", Default: "10MiB"},
		"mode":             {Type: "fast | careful", Default: "fast", Values: []string{"fast", "careful"}},
		"even":             {Type: "even text", Default: "no", Example: "aa"},
		"net":              {Type: "list"},
		"basic-auth.users": {Type: "text", Secret: true},
		"pin":              {Type: "number", Default: "0", Secret: true, Example: "1234"},
	}
	options := label.Describe(&kit{}).Options()
	if len(options) != len(want) {
		t.Errorf("%d options, want %d", len(options), len(want))
	}
	for _, got := range options {
		w := want[got.Name]
		if w.Name, w.Doc = got.Name, got.Doc; !reflect.DeepEqual(got, w) {
			t.Errorf("got %+v, want %+v", got, w)
		}
	}
}

type binder func(s *label.Set)

func (b binder) Labels(s *label.Set) { b(s) }

// Defaults are shown as a user would type them, so that Portway reads them back.
func TestDefaultsReadBack(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, time.Millisecond, time.Second, time.Minute, 61 * time.Second, time.Hour, 90 * time.Minute, 24 * time.Hour, 25 * time.Hour} {
		var got time.Duration
		bind := binder(func(s *label.Set) { s.Duration(&got, "x", d, "") })
		text := label.Describe(bind).Options()[0].Default
		if p := label.Parse("", strings.Clone, label.Values{"x": text}, bind); len(p) > 0 || got != d || strings.HasSuffix(text, "0s") && d%time.Minute == 0 {
			t.Errorf("%v is shown as %q, which is read as %v %v", d, text, got, p)
		}
	}
	for _, n := range []int64{0, 1, 999, 1000, 1024, 10 << 20, 3 << 30, 5e9, 1 << 40, 1500} {
		var got int64
		bind := binder(func(s *label.Set) { s.Size(&got, "x", n, "") })
		text := label.Describe(bind).Options()[0].Default
		if p := label.Parse("", strings.Clone, label.Values{"x": text}, bind); len(p) > 0 || got != n {
			t.Errorf("%d is shown as %q, which is read as %d %v", n, text, got, p)
		}
	}
}

// What only a programmer can get wrong is found by the first test that runs.
func TestProgrammersMistakes(t *testing.T) {
	t.Parallel()
	var v string
	for name, bind := range map[string]binder{
		"twice":      func(s *label.Set) { s.String(&v, "x", "", ""); s.String(&v, "x", "", "") },
		"upper case": func(s *label.Set) { s.String(&v, "X", "", "") },
		"empty word": func(s *label.Set) { s.String(&v, "a..b", "", "") },
		"needs":      func(s *label.Set) { s.String(&v, "a", "", "", label.Needs("b")) },
		"checks":     func(s *label.Set) { s.Check("a", func() error { return nil }) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			label.Describe(bind)
		}()
	}
}
