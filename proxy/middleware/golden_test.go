package middleware

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"portway/label"
	"portway/proxy/exchange"
)

var update = flag.Bool("update", false, "write the wanted output of golden files anew")

// goldens are the cases in testdata. Each has
//
//	a comment: the reason why it is there
//	labels: as in a compose file
//	request: what a client sends, see request; any number of them, by any name
//	origin: what the application answers to all of them, see response; a greeting if there is none
//	pages/: files in a directory, at /srv/pages
//	service: what answers at http://service.test, see Service; "service NAME" to a request with :service: NAME
//	want: for each request, what the application gets (>) and what the client gets (<);
//	      or the problems of the labels
func goldens(t *testing.T) map[string]*txtar.Archive {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	all := make(map[string]*txtar.Archive)
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = a
	}
	return all
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for file, a := range goldens(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			if strings.TrimSpace(string(a.Comment)) == "" {
				t.Error("the case does not say why it is there")
			}
			got := replay(t, a)
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
			switch {
			case i < 0:
				t.Error("the case has no file want")
			case *update:
				a.Files[i].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			case string(a.Files[i].Data) != got:
				t.Errorf("got:\n%swant:\n%s", got, a.Files[i].Data)
			}
		})
	}
}

// labels are those of a case, without their prefix; place puts service and pages in.
func labels(t *testing.T, a *txtar.Archive, place func(value string) string) label.Values {
	t.Helper()
	var all map[string]string
	if err := yaml.Unmarshal(file(a, "labels"), &all); err != nil {
		t.Fatal(err)
	}
	values := make(label.Values)
	for key, value := range all {
		option, ok := strings.CutPrefix(key, label.Prefix)
		if !ok {
			t.Fatalf("label %s", key)
		}
		values[option] = place(value)
	}
	return values
}

func file(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// replay gives what becomes of the requests of a case.
func replay(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	var out strings.Builder
	service := StartService(t, a)
	values := labels(t, a, service.Place)
	binders, problems := parse(values)
	if len(problems) > 0 {
		for _, p := range problems {
			fmt.Fprintln(&out, p)
		}
		return out.String()
	}
	if again, _ := parse(values); !reflect.DeepEqual(binders, again) {
		t.Error("the same labels do not give equal settings, so the proxy would drop what the chain has learnt")
	}
	answer := string(file(a, "origin"))
	if answer == "" {
		answer = "200\nContent-Type: text/plain\n\nHello.\n"
	}
	h := wrap(binders, exchange.HandlerFunc(func(ex *exchange.Exchange) {
		fmt.Fprint(&out, forwarded(ex))
		response(ex, answer)
	}))
	for _, f := range a.Files {
		if !IsRequest(f.Name) {
			continue
		}
		fmt.Fprintf(&out, "# %s\n", f.Name)
		ex := request(t, string(f.Data))
		service.Expect(t, string(f.Data))
		asked := string(appendURI(nil, &ex.Request)) + string(ex.Request.Authority)
		from := out.Len()
		h.Serve(ex)
		got := answered(t, ex)
		text := strings.ReplaceAll(service.Asked()+out.String()[from:]+got, ex.RequestID(), "REQUEST-ID")
		text = newTraceRE.ReplaceAllString(text, "00-TRACE-ID-REQUEST-ID-01")
		before := out.String()[:from]
		out.Reset()
		out.WriteString(before + text)
		if now := string(appendURI(nil, &ex.Request)) + string(ex.Request.Authority); now != asked {
			t.Errorf("%s: after the answer, the request is for %s instead of %s", f.Name, now, asked)
		}
		if strings.Contains(string(f.Data), "\n:held:") {
			defer finish(ex)
		} else {
			finish(ex)
		}
	}
	return out.String()
}

// newTraceRE fits a traceparent that was made for the request.
var newTraceRE = regexp.MustCompile(`00-[0-9a-f]{32}-REQUEST-ID-01`)

// forwarded is the request that the application gets.
func forwarded(ex *exchange.Exchange) string {
	q := &ex.Request
	var b strings.Builder
	fmt.Fprintf(&b, "> %s %s\n> Host: %s\n", q.Method, appendURI(nil, q), q.Authority)
	for name, value := range q.Fields.All() {
		if string(name) != "X-Forwarded-Proto" {
			fmt.Fprintf(&b, "> %s: %s\n", name, value)
		}
	}
	if q.Body != nil {
		content, err := io.ReadAll(q.Body)
		fmt.Fprintf(&b, "> | %s\n", content)
		if err != nil {
			fmt.Fprintf(&b, "> (broken off: %v)\n", err)
		}
	}
	return b.String()
}

// answered is the response that the client gets.
func answered(t *testing.T, ex *exchange.Exchange) string {
	t.Helper()
	p := &ex.Response
	var b strings.Builder
	fmt.Fprintf(&b, "< %d\n", p.Status)
	for name, value := range p.Fields.All() {
		fmt.Fprintf(&b, "< %s: %s\n", name, value)
	}
	if p.Length > 0 {
		fmt.Fprintf(&b, "< (length %d)\n", p.Length)
	}
	for line := range strings.Lines(content(t, ex)) {
		fmt.Fprintf(&b, "< | %s\n", strings.TrimSuffix(line, "\n"))
	}
	return b.String()
}

// Every option there is must be shown to work by a case.
func TestEveryOptionHasAGolden(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	for _, a := range goldens(t) {
		values := labels(t, a, StartService(t, a).Place)
		if _, problems := parse(values); len(problems) > 0 {
			continue
		}
		for option := range maps.Keys(values) {
			used[option] = true
		}
	}
	for _, o := range label.Describe(All()...).Options() {
		if !used[o.Name] {
			t.Errorf("%s is in no golden case that works", o.Name)
		}
	}
}
