package route_test

import (
	"errors"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

func TestCompileHost(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for host, want := range map[string]string{
		"app.example.com":               "app.example.com",
		" App.EXAMPLE.com. ":            "app.example.com",
		"localhost":                     "localhost",
		"whoami.localhost":              "whoami.localhost",
		"nas":                           "nas",
		"my_app.lan":                    "my_app.lan",
		"r3---sn-x.example.com":         "r3---sn-x.example.com",
		"*.example.com":                 "*.example.com",
		"*.Example.com.":                "*.example.com",
		"*.lan":                         "*.lan",
		"bücher.example":                "xn--bcher-kva.example",
		"BÜCHER.example":                "xn--bcher-kva.example",
		"*.bücher.example":              "*.xn--bcher-kva.example",
		"faß.de":                        "xn--fa-hia.de", // not fass.de: non-transitional, as in browsers
		"例え。テスト":                        "xn--r8jz45g.xn--zckzah",
		"xn--bcher-kva.example":         "xn--bcher-kva.example",
		"XN--BCHER-KVA.example":         "xn--bcher-kva.example",
		"192.168.1.10":                  "192.168.1.10",
		"::1":                           "::1",
		"[::1]":                         "::1",
		"[2001:DB8:0::0:1]":             "2001:db8::1",
		"2001:db8::1":                   "2001:db8::1",
		"1.example":                     "1.example",
		"3com":                          "3com",
		long + "." + long:               long + "." + long,
		strings.Repeat("a.", 126) + "a": strings.Repeat("a.", 126) + "a", // 253 characters
	} {
		if got, err := route.CompileHost(host); got != want || err != nil {
			t.Errorf("%s gives %q, want %q: %v", host, got, want, err)
		}
	}
}

// What people write around a name is recognised, and the answer says what to
// type instead.
func TestCompileHostProblems(t *testing.T) {
	t.Parallel()
	const (
		name  = "write letters, digits, - and dots only"
		label = "write names with one dot between labels, like app.example.com"
		star  = "write *.example.com for every name one level below example.com"
	)
	long := strings.Repeat("a", 64)
	for _, tt := range []struct{ host, want string }{
		{"", "is empty; write a host name"},
		{" ", "is empty; write a host name"},
		{"https://app.example.com/", `"https://app.example.com/" has a scheme; write the name without https://: app.example.com`},
		{"http://app.example.com:8080/x", `"http://app.example.com:8080/x" has a scheme; write the name without http://: app.example.com:8080`},
		{"app.example.com:8080", `"app.example.com:8080" has a port; write the name alone: app.example.com; the application's port goes into the option port`},
		{"app.example.com:", `"app.example.com:" has a port; write the name alone: app.example.com; the application's port goes into the option port`},
		{"[::1]:80", `"[::1]:80" has a port; write the address alone: ::1; the application's port goes into the option port`},
		{"app.example.com/api", `"app.example.com/api" has a path; write the name alone: app.example.com, and the path /api in the option path`},
		{"app.example.com/", `"app.example.com/" has a path; write the name alone: app.example.com`},
		{"Host(`app.example.com`)", "\"Host(`app.example.com`)\" is a rule of another proxy; write the name alone: app.example.com"},
		{"a.example b.example", `"a.example b.example" is more than one name; write a comma between names`},
		{"a.example;b.example", `"a.example;b.example" is more than one name; write a comma between names`},
		{"*", `"*" has a * that is no whole first label; ` + star},
		{"*example.com", `"*example.com" has a * that is no whole first label; ` + star},
		{"a.*.example.com", `"a.*.example.com" has a * that is no whole first label; ` + star},
		{"*.*.example.com", `"*.*.example.com" has a * that is no whole first label; ` + star},
		{"*.", `"*." has an empty label between dots; ` + label},
		{".", `"." has an empty label between dots; ` + label},
		{"a..b", `"a..b" has an empty label between dots; ` + label},
		{".example.com", `".example.com" has an empty label between dots; ` + label},
		{"example.com..", `"example.com.." has an empty label between dots; ` + label},
		{"-a.example", `"-a.example" has a label that begins or ends with -; write - only inside of a label`},
		{"a-.example", `"a-.example" has a label that begins or ends with -; write - only inside of a label`},
		{"a!b.example", `"a!b.example" is no host name; ` + name},
		{"a\x00b", `"a\x00b" is no host name; ` + name},
		{"xn--0.example", `"xn--0.example" is no host name; ` + name},
		{"a:b:c", `"a:b:c" is no host name; ` + name},
		{"[::1", `"[::1" is no host name; ` + name},
		{"℀.example", `"℀.example" is no host name; ` + name}, // maps to a/c
		{"256.1.1.1", `"256.1.1.1" looks like an IP address, and is none; write four numbers from 0 to 255 like 192.168.1.10, or a name`},
		{"10.0.1", `"10.0.1" looks like an IP address, and is none; write four numbers from 0 to 255 like 192.168.1.10, or a name`},
		{"*.1.2.3", `"*.1.2.3" looks like an IP address, and is none; write four numbers from 0 to 255 like 192.168.1.10, or a name`},
		{"fe80::1%eth0", `"fe80::1%eth0" has a zone, which no browser sends; write fe80::1`},
		{long + ".example", `"` + long + `.example" has a label longer than 63 characters; write a shorter name`},
		{strings.Repeat("é", 1000), `"` + strings.Repeat("é", 40) + `…" is longer than 253 characters; write a shorter name`},
		{strings.Repeat("a.", 126) + "aa", `"` + strings.Repeat("a.", 40) + `…" is longer than 253 characters; write a shorter name`},
	} {
		got, err := route.CompileHost(tt.host)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q gives %q\n got: %v\nwant: %s", tt.host, got, err, tt.want)
		}
	}
}

// FuzzCompileHost: what is accepted is a form that stays as it is, and that a
// request for it is routed by.
func FuzzCompileHost(f *testing.F) {
	for _, s := range []string{"app.example.com", "*.Bücher.example.", "[2001:DB8::1]", "::ffff:1.2.3.4", "https://x/y", "Host(`x`)", "xn--bcher-kva", "ａ．b", "a\u200db", "1.2.3.4.", "[1.2.3.4]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, err := route.CompileHost(s)
		if err != nil {
			if e, ok := errors.AsType[*label.Error](err); !ok || e.Why == "" || e.Fix == "" {
				t.Errorf("%q: %v gives no advice", s, err)
			}
			return
		}
		if again, err := route.CompileHost(host); err != nil || again != host {
			t.Errorf("%q is compiled to %q, and that to %q, %v", s, host, again, err)
		}
		sent := strings.ToUpper(host)
		if base, ok := strings.CutPrefix(sent, "*."); ok {
			sent = "ANY." + base
			if len(sent) > 253 {
				return
			}
		} else if strings.Contains(sent, ":") {
			sent = "[" + sent + "]"
		}
		table := route.NewTable([]*route.Route{{Hosts: []string{host}, Path: "/"}}, nil)
		for _, suffix := range []string{"", ".", ":443"} {
			if suffix == "." && strings.HasSuffix(sent, "]") {
				continue
			}
			if got := lookup(table, sent+suffix, "/"); got == "unknown" {
				t.Errorf("%q is compiled to %q, and not found by %q", s, host, sent+suffix)
			}
		}
	})
}
