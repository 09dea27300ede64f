package middleware

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Service is the service that middleware of a golden case may ask: a real server, which
// notes what it is asked, and answers as the case says.
type Service struct {
	URL   string
	pages string // directory
	files []txtar.File

	mu     sync.Mutex
	answer string
	asked  strings.Builder
}

// IsRequest tells whether a file of a golden case is a request.
func IsRequest(name string) bool {
	first, _, _ := strings.Cut(strings.Replace(name, "/", " ", 1), " ")
	return !slices.Contains([]string{"labels", "origin", "want", "service", "pages"}, first)
}

// StartService starts the service of a case.
func StartService(t testing.TB, a *txtar.Archive) *Service {
	t.Helper()
	s := &Service{files: a.Files, URL: "http://service.test", pages: "/srv/pages"}
	for _, f := range a.Files {
		name, ok := strings.CutPrefix(f.Name, "pages/")
		if !ok {
			continue
		}
		if s.pages == "/srv/pages" {
			s.pages = t.TempDir()
		}
		if err := os.WriteFile(filepath.Join(s.pages, name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if slices.ContainsFunc(a.Files, func(f txtar.File) bool { return f.Name == "service" }) {
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		s.URL = server.URL
	}
	return s
}

// Place puts the service and the pages of the case where a label has http://service.test
// and /srv/pages.
func (s *Service) Place(value string) string {
	return strings.NewReplacer("http://service.test", s.URL, "/srv/pages", s.pages).Replace(value)
}

// Expect prepares for a request.
func (s *Service) Expect(t testing.TB, request string) {
	t.Helper()
	name := "service"
	for line := range strings.Lines(request) {
		if which, ok := strings.CutPrefix(line, ":service: "); ok {
			name += " " + strings.TrimSpace(which)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = ""
	for _, f := range s.files {
		if f.Name == name {
			s.answer = string(f.Data)
		}
	}
	if s.answer == "" && name != "service" {
		t.Fatalf("the case has no file %q", name)
	}
}

// Asked tells what was asked since it was called last, without what only wires have.
func (s *Service) Asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.asked.Reset()
	return strings.ReplaceAll(s.asked.String(), s.URL, "http://service.test")
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.asked, "? %s %s\n", r.Method, r.RequestURI)
	var lines []string
	for name, values := range r.Header {
		switch name {
		case "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Port", "X-Real-Ip", "Forwarded", "User-Agent":
			continue
		}
		for _, v := range values {
			lines = append(lines, "? "+name+": "+v+"\n")
		}
	}
	slices.Sort(lines)
	s.asked.WriteString(strings.Join(lines, ""))
	if b, _ := io.ReadAll(r.Body); len(b) > 0 {
		fmt.Fprintf(&s.asked, "? | %s\n", b)
	}

	head, text, _ := strings.Cut(s.answer, "\n\n")
	all := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	h := w.Header()
	h["Date"], h["Content-Type"] = nil, nil
	for _, l := range all[1:] {
		name, value, _ := strings.Cut(l, ":")
		name = textproto.CanonicalMIMEHeaderKey(name)
		h[name] = append(h[name], strings.TrimSpace(value))
	}
	var status int
	_, _ = fmt.Sscan(all[0], &status)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, strings.TrimSuffix(text, "\n"))
}
