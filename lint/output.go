package lint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// rules says what each Rule is about, for tools that show it.
var rules = map[string]string{
	"compose":        "A compose file does not load",
	"setting":        "A setting of Portway cannot be used",
	"storage":        "Portway cannot write to its storage folder",
	"unknown-label":  "A label that Portway does not know",
	"value":          "A label's value cannot be used, or labels contradict each other",
	"conflict":       "A route cannot be served as asked, for example because another one has its host and path",
	"port":           "Which port a service listens on is not clear",
	"port-unknown":   "Which port a service listens on is not written here",
	"network":        "Portway and a service share no network, or which one is not clear",
	"dollar":         "A $ of a password's hash is taken for a variable",
	"variable":       "A variable is not set",
	"elsewhere":      "A value is not on this machine",
	"published":      "A protected service can be reached past Portway",
	"unprotected":    "What one route protects, another one gives to everybody",
	"client-address": "A protection goes by an address that is not the client's",
	"auth-service":   "The service that forward-auth asks cannot be found by Portway",
	"plain-password": "Passwords cross the network in the clear",
}

// WriteText writes a line for each finding: where, what, and what to do.
func (r Report) WriteText(w io.Writer) error {
	var errs, warnings int
	for _, f := range r.Findings {
		switch f.Level {
		case Error:
			errs++
		case Warning:
			warnings++
		}
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s, %s in %s, %s\n", count(errs, "error"), count(warnings, "warning"), count(r.Services, "service"), count(r.Routes, "route"))
	return err
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// String gives a finding in one line.
func (f Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
			if f.Column > 0 {
				fmt.Fprintf(&b, ":%d", f.Column)
			}
		}
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s: ", f.Level)
	if f.Service != "" {
		fmt.Fprintf(&b, "service %q: ", f.Service)
	}
	b.WriteString(f.text())
	return b.String()
}

// text is what there is to say, without where.
func (f Finding) text() string {
	text := f.Why
	if f.Label != "" {
		text = f.Label + ": " + text
	}
	if f.Fix != "" {
		text += "; " + f.Fix
	}
	return text
}

// WriteJSON writes the report as it is.
func (r Report) WriteJSON(w io.Writer) error { return encode(w, r) }

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// What SARIF 2.1.0 wants, as far as it is used here.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     Level           `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

// WriteSARIF writes the report as SARIF 2.1.0, which code hosts show beside the code.
func (r Report) WriteSARIF(w io.Writer, version string) error {
	ids := make([]string, 0, len(rules))
	for id := range rules {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, cmp.Compare[string])
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "portway lint", Version: version}}, Results: []sarifResult{}}
	for _, id := range ids {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{id, sarifText{rules[id]}})
	}
	for _, f := range r.Findings {
		text := f.text()
		if f.Service != "" {
			text = fmt.Sprintf("service %q: %s", f.Service, text)
		}
		result := sarifResult{RuleID: f.Rule, RuleIndex: slices.Index(ids, f.Rule), Level: f.Level, Message: sarifText{text}}
		if f.File != "" {
			at := sarifPhysical{Artifact: sarifArtifact{filepath.ToSlash(f.File)}}
			if f.Line > 0 {
				at.Region = &sarifRegion{f.Line, f.Column}
			}
			result.Locations = []sarifLocation{{at}}
		}
		run.Results = append(run.Results, result)
	}
	return encode(w, sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}
