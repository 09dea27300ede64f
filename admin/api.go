package admin

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// endpoint is one thing that can be asked. The mux and the OpenAPI document are made
// of the same list.
type endpoint struct {
	method, path string
	summary      string
	params       []param
	takes        any    // a value of the type that the body holds as JSON; nil: nothing
	answer       any    // a value of the type that it answers with as JSON; nil: other
	kind         string // the media type, where it is not JSON
	handle       http.HandlerFunc
}

// param is a parameter of the query.
type param struct {
	name, doc string
	many      bool // it may be given several times
}

var filterParams = []param{
	{name: "level", doc: "At least this level: debug, info, warn or error."},
	{name: "route", doc: "Only lines about the route of this name."},
	{name: "host", doc: "Only lines about this host."},
	{name: "text", doc: "Only lines with this text."},
	{name: "n", doc: "At most so many of the last lines."},
}

// endpoints lists all there is.
func (s *Server) endpoints() []endpoint {
	return []endpoint{
		{method: "GET", path: "/healthz", summary: "200 once the first table is served, 503 with the reason before and while shutting down.", kind: "text/plain", handle: s.health},
		{method: "GET", path: "/v1/openapi.json", summary: "This document.", kind: "application/json", handle: s.openAPI},
		{method: "GET", path: "/v1/status", summary: "What is served, what was rejected, how certificates stand, and what the process takes.", answer: Status{}, handle: s.status},
		{method: "GET", path: "/v1/sources", summary: "All containers and static files that discovery saw, served or not.", answer: []Source{}, handle: s.getSources, params: []param{
			{name: "name", doc: "Only the one with this name."},
		}},
		{method: "GET", path: "/v1/routes", summary: "All routes with what is known about them, in the order in which they have a right to their hosts.", answer: []RouteDetail{}, handle: s.getRoutes, params: []param{
			{name: "id", doc: "Only the route with this ID."}, {name: "host", doc: "Only routes with this host."},
		}},
		{method: "GET", path: "/v1/explain", summary: "Which way a request goes, or why a container or file is served or not.", answer: Explanation{}, handle: s.getExplanation, params: []param{
			{name: "url", doc: "The request's URL, or a host."},
			{name: "source", doc: "Instead of url: a container's name, the beginning of its ID, its service, or a file."},
			{name: "what", doc: "Instead of both: either of them, as people write it."},
			{name: "method", doc: "The request's method; GET if it is not said."},
			{name: "header", doc: "A header field, like Name: value.", many: true},
			{name: "cookie", doc: "A cookie, like name=value.", many: true},
			{name: "client", doc: "The client's address."},
		}},
		{method: "POST", path: "/v1/try", summary: "Sends a request to each ready replica of a route, past all middleware, and tells how long they take.", answer: []Hop{}, handle: s.postTry, params: []param{
			{name: "route", doc: "The route's ID."}, {name: "method", doc: "GET, HEAD or OPTIONS."}, {name: "host", doc: "The request's host."}, {name: "target", doc: "Its path and query."},
		}},
		{method: "GET", path: "/v1/history", summary: "What changed, and when; the newest first.", answer: []Event{}, handle: s.getHistory},
		{method: "GET", path: "/v1/failures", summary: "The last requests that Portway itself had to answer; the newest first.", answer: []Failure{}, handle: s.getFailures, params: []param{
			{name: "route", doc: "ID of a route; without it, requests that no route matched."},
		}},
		{method: "GET", path: "/v1/events", summary: "What changes, as it happens: server-sent events with Event as change, and Failure as failure. Last-Event-ID, or since, brings what was missed.", kind: "text/event-stream", handle: s.streamEvents, params: []param{
			{name: "since", doc: "Number of the last event that is known."},
		}},
		{method: "GET", path: "/v1/logs", summary: "The last lines of Portway's own log, the oldest first.", answer: []Line{}, handle: s.needLog(s.getLog), params: filterParams},
		{method: "GET", path: "/v1/logs/stream", summary: "The same, and what comes then: server-sent events with Line as line.", kind: "text/event-stream", handle: s.needLog(s.streamLog), params: filterParams},
		{method: "GET", path: "/metrics", summary: "Metrics in the text format of Prometheus, or OpenMetrics.", kind: "text/plain", handle: s.metrics},
		{method: "GET", path: "/v1/ca", summary: "The internal CA's root certificate.", answer: Root{}, handle: s.root},
		{method: "GET", path: "/v1/ech", summary: "What belongs into the DNS for Encrypted ClientHello.", answer: HelloKeys{}, handle: s.helloKeys(false)},
		{method: "POST", path: "/v1/ech/rotate", summary: "Makes another key for Encrypted ClientHello, and answers in the same way. The old one is accepted for a while.", answer: HelloKeys{}, handle: s.helloKeys(true)},
		{method: "POST", path: "/v1/purge", summary: "Drops stored answers, and tells how many there were.", takes: Purge{}, answer: Purged{}, handle: purger(s.cfg.Purge).ServeHTTP},
	}
}

//go:generate go test -run ^TestOpenAPI$ -update .

//go:embed openapi.json
var openAPI []byte

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI)
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Metrics == nil {
		http.Error(w, "this Portway has no metrics", http.StatusNotFound)
		return
	}
	s.cfg.Metrics.ServeHTTP(w, r)
}

func (s *Server) getSources(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	list := []Source{}
	for _, x := range s.Sources() {
		if name == "" || x.Name == name {
			list = append(list, x)
		}
	}
	writeJSON(w, list)
}

func (s *Server) getRoutes(w http.ResponseWriter, r *http.Request) {
	id, host := r.URL.Query().Get("id"), r.URL.Query().Get("host")
	if id != "" {
		list := []RouteDetail{}
		if d, ok := s.Route(id); ok {
			list = append(list, d)
		}
		writeJSON(w, list)
		return
	}
	list := []RouteDetail{}
	for _, d := range s.Routes() {
		if host == "" || containsFold(d.Hosts, host) {
			list = append(list, d)
		}
	}
	writeJSON(w, list)
}

func containsFold(all []string, one string) bool {
	for _, s := range all {
		if strings.EqualFold(s, one) {
			return true
		}
	}
	return false
}

func (s *Server) getHistory(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.History()) }

func (s *Server) getFailures(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, s.Failures(r.URL.Query().Get("route")))
}

func (s *Server) getExplanation(w http.ResponseWriter, r *http.Request) {
	q, err := question(r)
	if err == nil {
		var e Explanation
		if e, err = s.Explain(q); err == nil {
			writeJSON(w, e)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusBadRequest)
}

// question reads what is asked.
func question(r *http.Request) (q Question, err error) {
	v := r.URL.Query()
	q.URL, q.Source, q.What, q.Method = v.Get("url"), v.Get("source"), v.Get("what"), v.Get("method")
	given := 0
	for _, text := range []string{q.URL, q.Source, q.What} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		return q, errors.New("say one of url, source and what")
	}
	for _, line := range v["header"] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return q, fmt.Errorf("%q is no header field: write Name: value", line)
		}
		q.Header = append(q.Header, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	if cookies := v["cookie"]; len(cookies) > 0 {
		q.Header = append(q.Header, [2]string{"Cookie", strings.Join(cookies, "; ")})
	}
	if text := v.Get("client"); text != "" {
		if q.Client, err = netip.ParseAddr(text); err != nil {
			return q, fmt.Errorf("%q is no address of a client: write for example 192.168.1.10", text)
		}
	}
	return q, nil
}

// needLog is for what cannot be told if no log is kept.
func (s *Server) needLog(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Log == nil {
			http.Error(w, "this Portway keeps no log lines", http.StatusNotFound)
			return
		}
		next(w, r)
	}
}

func (s *Server) getLog(w http.ResponseWriter, r *http.Request) {
	f, n, err := lineFilter(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	lines := s.cfg.Log.Lines(f)
	writeJSON(w, lines[max(0, len(lines)-n):])
}

// lineFilter reads which lines are wanted, and how many.
func lineFilter(r *http.Request) (f LineFilter, n int, err error) {
	v := r.URL.Query()
	f.Route, f.Host, f.Text, f.Level = v.Get("route"), v.Get("host"), v.Get("text"), slog.LevelDebug
	if text := v.Get("level"); text != "" {
		if err := f.Level.UnmarshalText([]byte(text)); err != nil {
			return f, 0, fmt.Errorf("%q is no level: write debug, info, warn or error", text)
		}
	}
	n = maxLines
	if text := v.Get("n"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return f, 0, fmt.Errorf("%q is no number of lines", text)
		}
	}
	return f, n, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client has gone: nobody is left to be told
}
