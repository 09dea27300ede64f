package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
)

// facts is what reached the app, and where.
type facts struct {
	Name      string            `json:"name"`
	Addresses []string          `json:"addresses"`
	Listen    string            `json:"listen"`
	Remote    string            `json:"remote"` // who connected: the proxy
	Client    string            `json:"client"` // who asked, as the proxy says
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Protocol  string            `json:"protocol"`
	Host      string            `json:"host"`
	Scheme    string            `json:"scheme"` // as the proxy says
	Headers   map[string]string `json:"headers"`
}

// Fields lists the facts in a fixed order.
func (f *facts) Fields() [][2]string {
	return [][2]string{
		{"Name", f.Name},
		{"Addresses", strings.Join(f.Addresses, ", ")},
		{"Listen", f.Listen},
		{"Remote", f.Remote},
		{"Client", f.Client},
		{"Request", f.Method + " " + f.URL + " " + f.Protocol},
		{"Host", f.Host},
		{"Scheme", f.Scheme},
	}
}

// HeaderFields lists the header fields by name.
func (f *facts) HeaderFields() [][2]string {
	var fields [][2]string
	for name, value := range f.Headers {
		fields = append(fields, [2]string{name, value})
	}
	slices.SortFunc(fields, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return fields
}

func (a *app) gather(r *http.Request) *facts {
	f := &facts{
		Name: a.name, Addresses: addresses(), Listen: a.listen, Remote: r.RemoteAddr, Client: r.Header.Get("X-Real-Ip"),
		Method: r.Method, URL: r.URL.RequestURI(), Protocol: r.Proto, Host: r.Host, Scheme: r.Header.Get("X-Forwarded-Proto"),
		Headers: map[string]string{},
	}
	for name, values := range r.Header {
		f.Headers[name] = strings.Join(values, ", ")
	}
	return f
}

// addresses are those of the container's interfaces but the loopback.
func addresses() []string {
	var list []string
	all, _ := net.InterfaceAddrs() // without any, none are shown
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() {
			list = append(list, ip.IP.String())
		}
	}
	return list
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// facts answers in what the client prefers: a page, JSON, or plain text.
func (a *app) facts(w http.ResponseWriter, r *http.Request) {
	f := a.gather(r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	var err error
	switch accept := r.Header.Get("Accept"); {
	case strings.Contains(accept, "text/html"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		err = page.Execute(w, f)
	case strings.Contains(accept, "json"):
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		err = e.Encode(f)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		err = f.text(w)
	}
	_ = err // the client has gone: nobody is left to be told
}

func (f *facts) text(w io.Writer) error {
	var b strings.Builder
	for _, kv := range append(f.Fields(), f.HeaderFields()...) {
		fmt.Fprintf(&b, "%s: %s\n", kv[0], kv[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}
