package admin

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"portway/label"
	"portway/route"
)

var update = flag.Bool("update", false, "write the OpenAPI document anew")

type object = map[string]any

// document makes the OpenAPI document of what the mux is made of, and of the types
// that handlers answer with.
func document(s *Server) []byte {
	schemas := object{}
	paths := object{}
	for _, e := range s.endpoints() {
		operation := object{"summary": e.summary, "operationId": strings.ToLower(e.method) + strings.NewReplacer("/", "_", ".", "_").Replace(e.path)}
		var params []any
		for _, p := range e.params {
			schema := object{"type": "string"}
			if p.many {
				schema = object{"type": "array", "items": schema}
			}
			params = append(params, object{"name": p.name, "in": "query", "description": p.doc, "schema": schema})
		}
		if params != nil {
			operation["parameters"] = params
		}
		if e.takes != nil {
			operation["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": schema(reflect.TypeOf(e.takes), schemas)}}}
		}
		content := object{}
		switch {
		case e.answer != nil:
			content["application/json"] = object{"schema": schema(reflect.TypeOf(e.answer), schemas)}
		default:
			content[e.kind] = object{}
		}
		operation["responses"] = object{
			"200":     object{"description": "The answer.", "content": content},
			"default": object{"description": "Why there is no answer, in one line.", "content": object{"text/plain": object{}}},
		}
		paths[e.path] = object{strings.ToLower(e.method): operation}
	}
	for _, streamed := range []any{Event{}, Failure{}, Line{}} {
		schema(reflect.TypeOf(streamed), schemas)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(object{
		"openapi":    "3.1.0",
		"info":       object{"title": "Portway's control API", "version": "1", "description": "Served on the control socket, and where --admin says. What is in version 1 stays; there may be more."},
		"paths":      paths,
		"components": object{"schemas": schemas},
	})
	return b.Bytes()
}

// schema describes a Go type; structs go to schemas.
func schema(t reflect.Type, schemas object) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return schema(t.Elem(), schemas)
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": schema(t.Elem(), schemas)}
	case t.Kind() == reflect.Map:
		return object{"type": "object"}
	case t.Kind() == reflect.String:
		return object{"type": "string"}
	case t.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return object{"type": "number"}
	case t.Kind() != reflect.Struct:
		return object{"type": "integer"}
	}
	ref := object{"$ref": "#/components/schemas/" + t.Name()}
	if schemas[t.Name()] != nil {
		return ref
	}
	schemas[t.Name()] = object{} // for types that hold themselves
	properties := object{}
	var required []string
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" {
			continue
		}
		properties[name] = schema(f.Type, schemas)
		if options == "" {
			required = append(required, name)
		}
	}
	made := object{"type": "object", "properties": properties}
	if required != nil {
		made["required"] = required
	}
	schemas[t.Name()] = made
	return ref
}

// The document that is served says what the handlers and their types say.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	want := document(New(Config{}))
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(openAPI, want) {
		t.Error("openapi.json is stale; run make generate")
	}
}

// full is a server with something of all there is.
func full(t *testing.T) *Server {
	t.Helper()
	r := &route.Route{
		ID: "container:web/default", Name: "web", Source: `container "web"`, Hosts: []string{"web.test"}, Path: "/", HTTPS: route.Redirect,
		Upstreams: []route.Upstream{{ID: "1:80", Name: "web", Network: "tcp", Address: "127.0.0.1:1", Scheme: route.HTTP}},
		Settings:  []route.Setting{{Key: "portway.host", Option: "host", Value: "web.test"}},
	}
	source := &route.Source{
		ID: "container:1", Kind: route.Container, Name: "web", Source: r.Source, Service: "web", Settings: r.Settings, Exposed: []int{80}, Published: []string{"*:8080->80"},
		Networks: []route.Network{{Name: "front", IP: "172.18.0.2", Shared: true}},
		Parts:    []route.Part{{RouteID: r.ID, Settings: r.Settings, Upstream: "1:80", Choice: route.Choice{Address: "127.0.0.1:1", Network: "front", Port: 80}}},
	}
	log := NewLog()
	next := time.Now()
	s := New(Config{
		Version: "1", Log: log,
		Certificates: func() []Certificate { return []Certificate{{Name: "web.test", State: "valid", NotAfter: &next}} },
		Root: func() (Root, error) {
			return Root{PEM: "PEM", Path: "/ca.crt", OtherPEM: "PEM", OtherPath: "/ca-any.crt"}, nil
		},
		Purge: func(Purge) (int, error) { return 1, nil },
		HelloKeys: func(bool) (HelloKeys, error) {
			return HelloKeys{PublicName: "a.test", Old: []OldKey{{ID: 1}}, Hosts: []HostHint{{Host: "b.test", Record: "b.test. HTTPS 1 ."}}}, nil
		},
	})
	s.SetTable(route.NewTable([]*route.Route{r}, []label.Problem{{Source: r.Source, Key: "portway.x", Why: "unknown label", Fix: "remove it"}}, source))
	s.Failed(Failure{Time: next, RouteID: r.ID, Status: 502})
	s.Failed(Failure{Time: next, Status: 404})
	s.history.add(func(seq uint64) Event { return Event{Seq: seq, Kind: RouteAdded, Changes: []Change{{"a", "b", "c"}}} })
	log.lines.add(func(seq uint64) Line { return Line{Seq: seq, Level: "INFO", Attrs: map[string]any{"a": 1}} })
	return s
}

// Each handler answers with what the document says: nothing else, nothing missing, and
// lists are lists.
func TestHandlersAnswerAsDocumented(t *testing.T) {
	t.Parallel()
	s := full(t)
	var doc struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	for _, e := range s.endpoints() {
		targets := []string{e.path}
		if e.path == "/v1/explain" {
			targets = []string{e.path + "?url=web.test", e.path + "?source=web", e.path + "?url=other.test&header=A:b&cookie=a=b&client=127.0.0.1"}
		}
		if e.path == "/v1/try" {
			targets = []string{e.path + "?route=container:web/default&method=GET&host=web.test&target=/"}
		}
		body := "{}"
		if e.answer == nil {
			continue
		}
		for _, target := range targets {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(e.method, target, strings.NewReader(body)))
			var got any
			if w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &got) != nil {
				t.Errorf("%s %s: %d %s", e.method, target, w.Code, w.Body)
				continue
			}
			for _, complaint := range fits(got, schema(reflect.TypeOf(e.answer), object{}), doc.Components.Schemas, e.path) {
				t.Errorf("%s: %s", target, complaint)
			}
		}
	}
	for _, bad := range []string{"/v1/explain", "/v1/explain?url=a&source=b", "/v1/explain?url=ftp://a", "/v1/explain?url=a&client=x", "/v1/explain?url=a&header=x", "/v1/logs?level=loud", "/v1/logs?n=x"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", bad, nil))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, w.Code)
		}
	}
}

// fits holds a value against a schema of the document.
func fits(v any, schema object, schemas map[string]any, at string) (complaints []string) {
	if ref, ok := schema["$ref"].(string); ok {
		schema = schemas[strings.TrimPrefix(ref, "#/components/schemas/")].(object)
	}
	complain := func(text string) { complaints = append(complaints, at+": "+text) }
	switch schema["type"] {
	case "array":
		list, ok := v.([]any)
		if !ok {
			complain("is no list")
		}
		for _, item := range list {
			complaints = append(complaints, fits(item, schema["items"].(object), schemas, at+"[]")...)
		}
	case "object":
		m, ok := v.(object)
		properties, closed := schema["properties"].(object)
		if !ok {
			complain("is no object")
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, there := m[name.(string)]; !there {
				complain("has no " + name.(string))
			}
		}
		for name, inner := range m {
			switch p := properties[name]; {
			case !closed:
			case p == nil:
				complain("has " + name + ", which the document has not")
			default:
				complaints = append(complaints, fits(inner, p.(object), schemas, at+"."+name)...)
			}
		}
	case "string":
		if _, ok := v.(string); !ok {
			complain("is no text")
		}
	case "integer", "number":
		if _, ok := v.(float64); !ok {
			complain("is no number")
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			complain("is neither true nor false")
		}
	}
	return complaints
}
