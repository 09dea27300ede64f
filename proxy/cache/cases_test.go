package cache_test

import (
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// run plays a case. Its lines are:
//
//	GET path | Name: value | ...       a request; "" is the case's own path, "?x" a query
//	-> METHOD | Name: value | -Name    what the origin gets, and what it does not
//	<- 200 | Name: value | ...         what the origin answers: content 1, 2, 3...
//	=> 200 1 | Name: value | -Name     what the client gets: content 1
//
// "<- nothing" has the origin hang up until it is to answer again; that is not counted.
// Without "<-" the request must not reach the origin. "{+60}" is the time in 60 s.
// Of a field with "*" in its value only what is before that counts.
func run(t *testing.T, s *served, origin *script, path, text string) {
	t.Helper()
	answers, step := map[string]int{}, 0
	var wait sync.WaitGroup
	defer wait.Wait()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var request []string
	var target string
	var wanted []string
	for i := 0; i < len(lines); i++ {
		line := strings.ReplaceAll(strings.TrimSpace(stamp(lines[i])), "{path}", path)
		parts := strings.Split(line, " | ")
		switch {
		case line == "":
		case strings.HasPrefix(line, "-> "):
			wanted = parts
		case strings.HasPrefix(line, "<- "):
			at, _, _ := strings.Cut(target, "?")
			if origin.hangUp(at, line == "<- nothing"); line == "<- nothing" {
				continue
			}
			answers[at]++
			origin.add(at, parseAnswer(t, parts, answers[at]))
		case strings.HasPrefix(line, "=> "):
			step++
			check(t, s, origin, step, request, target, wanted, parts, answers)
			wanted = nil
		default:
			method, suffix, _ := strings.Cut(parts[0], " ")
			request, target = append([]string{method}, parts[1:]...), path+suffix
		}
	}
}

var stampRE = regexp.MustCompile(`\{([+-]\d+)\}`)

// stamp writes the times that a line names.
func stamp(line string) string {
	return stampRE.ReplaceAllStringFunc(line, func(s string) string {
		n, _ := strconv.Atoi(s[1 : len(s)-1])
		return time.Now().Add(time.Duration(n) * time.Second).UTC().Format(http.TimeFormat)
	})
}

func parseAnswer(t *testing.T, parts []string, n int) answer {
	t.Helper()
	status := strings.Fields(strings.TrimPrefix(parts[0], "<- "))
	a := answer{content: "content " + strconv.Itoa(n)}
	a.status, _ = strconv.Atoi(status[0])
	a.cut = len(status) > 1 && status[1] == "cut"
	for _, f := range parts[1:] {
		switch {
		case strings.HasPrefix(f, "content: "):
			a.content = strings.TrimPrefix(f, "content: ")
		case len(f) > 3 && f[0] == '1' && f[3] == ' ':
			a.interim = append(a.interim, f)
		default:
			a.fields = append(a.fields, f)
		}
	}
	if a.status == http.StatusNotModified || a.status == http.StatusNoContent {
		a.content = ""
	}
	return a
}

// check sends a request and holds what happens against what is wanted.
func check(t *testing.T, s *served, origin *script, step int, request []string, target string, wanted, parts []string, answers map[string]int) {
	t.Helper()
	at, _, _ := strings.Cut(target, "?")
	r, err := http.NewRequest(request[0], "http://cache.test"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range request[1:] {
		name, value, _ := strings.Cut(f, ":")
		r.Header[textproto.CanonicalMIMEHeaderKey(name)] = append(r.Header[textproto.CanonicalMIMEHeaderKey(name)], strings.TrimSpace(value))
	}
	var interim []string
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			for name := range h {
				interim = append(interim, strconv.Itoa(code)+" "+name+": "+h.Get(name))
			}
			return nil
		},
	}))
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, readErr := readAll(resp)
	if asked := origin.requests(at); len(asked) != answers[at] {
		t.Fatalf("request %d: the origin was asked %d times, want %d; the answer is %d %q %q", step, len(asked), answers[at], resp.StatusCode, content, resp.Header)
	} else if wanted != nil {
		last := asked[len(asked)-1]
		if method := strings.TrimPrefix(wanted[0], "-> "); method != last.Method {
			t.Errorf("request %d: the origin got %s", step, last.Method)
		}
		for _, f := range wanted[1:] {
			compare(t, step, "the origin got", last.Header, f)
		}
	}
	status := strings.Fields(strings.TrimPrefix(parts[0], "=> "))
	if status[0] != strconv.Itoa(resp.StatusCode) {
		t.Errorf("request %d: %d %q, want %s; %q", step, resp.StatusCode, content, status[0], resp.Header)
	}
	if len(status) > 1 && status[1] == "cut" {
		if readErr == nil {
			t.Errorf("request %d: an answer that was cut off looks complete: %q", step, content)
		}
		return
	}
	if readErr != nil {
		t.Errorf("request %d: %v", step, readErr)
	}
	if len(status) > 1 && content != "content "+status[1] {
		t.Errorf("request %d: the content is %q, want %s", step, content, status[1])
	}
	for _, f := range parts[1:] {
		switch {
		case strings.HasPrefix(f, "content:"):
			if want := strings.TrimSpace(strings.TrimPrefix(f, "content:")); want != content {
				t.Errorf("request %d: the content is %q, want %q", step, content, f)
			}
		case len(f) > 3 && f[0] == '1' && f[3] == ' ':
			if !strings.Contains(strings.Join(interim, "\n"), f) {
				t.Errorf("request %d: interim responses %q, want %q", step, interim, f)
			}
		default:
			compare(t, step, "the client got", resp.Header, f)
		}
	}
}

func readAll(resp *http.Response) (string, error) {
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return b.String(), err
		}
	}
}

// compare looks for one field, or for its absence.
func compare(t *testing.T, step int, who string, h http.Header, want string) {
	t.Helper()
	if name, ok := strings.CutPrefix(want, "-"); ok {
		if v := h.Values(name); len(v) > 0 {
			t.Errorf("request %d: %s %s: %q, want none", step, who, name, v)
		}
		return
	}
	name, value, _ := strings.Cut(want, ": ")
	got := strings.Join(h.Values(name), ", ")
	if before, ok := strings.CutSuffix(value, "*"); ok && strings.HasPrefix(got, before) {
		return
	}
	if name == "Age" { // the machine may be slow
		n, err := strconv.Atoi(got)
		least, _ := strconv.Atoi(value)
		if err == nil && least <= n && n <= least+9 {
			return
		}
	}
	if got != value || len(h.Values(name)) == 0 {
		t.Errorf("request %d: %s %s: %q, want %q", step, who, name, h.Values(name), value)
	}
}
