// Package doctor looks at the machine that Portway runs on, or is to run on, for what
// keeps it from working: each Finding says what, why it matters and what to do.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
)

// Status tells how bad a Finding is.
type Status string

// What findings can be.
const (
	Good    Status = "good"
	Warning Status = "warning" // works, but not for all, or not for long
	Bad     Status = "bad"     // does not work
	Unknown Status = "unknown" // cannot be found out from here
)

// Finding is one thing that was looked at.
type Finding struct {
	Status Status `json:"status"`
	About  string `json:"about"`
	What   string `json:"what"`
	Why    string `json:"why,omitempty"` // it matters
	Fix    string `json:"fix,omitempty"`
}

// String gives it in one line.
func (f Finding) String() string {
	text := fmt.Sprintf("%-7s  %s: %s", f.Status, f.About, f.What)
	if f.Why != "" {
		text += "; " + f.Why
	}
	if f.Fix != "" {
		text += "; " + f.Fix
	}
	return text
}

// Report is all that was looked at.
type Report []Finding

// Healthy tells whether nothing is bad.
func (r Report) Healthy() bool {
	for _, f := range r {
		if f.Status == Bad {
			return false
		}
	}
	return true
}

// WriteText writes a line for each finding.
func (r Report) WriteText(w io.Writer) error {
	for _, f := range r {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes a list.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
