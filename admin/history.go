package admin

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"portway/route"
)

// Event is something that changed, and when.
type Event struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`     // see the constants
	Subject string    `json:"subject"`  // a route's or certificate's name, or a source
	RouteID string    `json:"route_id"` // where it is about a route
	Text    string    `json:"text"`     // for people
	Changes []Change  `json:"changes"`
}

// Kinds of events.
const (
	Started       = "started" // the first table
	RouteAdded    = "route added"
	RouteRemoved  = "route removed"
	RouteChanged  = "route changed"
	ProblemFound  = "problem"
	ProblemSolved = "problem solved"
	CertChanged   = "certificate"
)

// Change is one difference between before and after.
type Change struct {
	What   string `json:"what"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// maxHistory bounds the events that are kept.
const maxHistory = 500

// History lists what changed, the newest first.
func (s *Server) History() []Event {
	all := s.history.all()
	slices.Reverse(all)
	return all
}

// pause is how long to wait until replicas and certificates are looked at again: longer
// where there are many, so that it is no work to speak of: 1,000 routes every second took
// 1.6 % of a processor. A new table is looked at without that pause.
func (s *Server) pause() time.Duration {
	n := 0
	if v := s.view.Load(); v != nil {
		n = len(v.byID)
	}
	return max(time.Second, 5*time.Duration(n)*time.Millisecond)
}

// Run finds out what changes, and which ports answer, until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	defer s.prober.done.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var before *picture
	for {
		timer.Reset(s.pause())
		select {
		case <-ctx.Done():
			return nil
		case <-s.news:
		case <-timer.C:
		}
		now := s.picture()
		if now == nil {
			continue
		}
		for _, e := range now.since(before) {
			s.history.add(func(seq uint64) Event {
				e.Seq = seq
				return e
			})
		}
		before = now
		s.prober.look(ctx, s.targets())
	}
}

// picture is what can change, in words.
type picture struct {
	routes       map[string]pictured // by ID
	problems     map[Problem]bool
	certificates map[string]string
}

// pictured is a route.
type pictured struct {
	name  string
	facts []Change // What and After, in a fixed order
}

// picture is nil before the first table.
func (s *Server) picture() *picture {
	v := s.view.Load()
	if v == nil {
		return nil
	}
	p := &picture{routes: make(map[string]pictured), problems: make(map[Problem]bool), certificates: make(map[string]string)}
	for _, r := range v.Routes() {
		p.routes[r.ID] = pictured{r.Name, s.facts(r)}
	}
	for _, x := range slices.Concat(v.Problems(), s.otherProblems()) {
		p.problems[problem(x)] = true
	}
	for name, c := range s.certificates() {
		text := c.State
		if c.LastError != "" {
			text += ": " + c.LastError
		} else if c.Issuer != "" {
			text += ", by " + c.Issuer
		}
		if c.NotAfter != nil {
			text += ", until " + c.NotAfter.UTC().Format(time.DateOnly)
		}
		p.certificates[name] = text
	}
	return p
}

// facts are what people call a change if it differs.
func (s *Server) facts(r *route.Route) []Change {
	facts := []Change{
		{What: "hosts", After: strings.Join(r.Hosts, ", ")},
		{What: "path", After: strings.TrimSpace(string(r.PathKind) + " " + r.Path)},
		{What: "criteria", After: r.Match.String()},
		{What: "https", After: string(r.HTTPS)},
	}
	for _, x := range r.Settings {
		if x.Option != "host" && x.Option != "path" && x.Option != "https" && !strings.HasPrefix(x.Option, "match.") && !x.Hidden {
			facts = append(facts, Change{What: x.Option, After: x.Value})
		}
	}
	for _, u := range s.replicas(r) {
		text := u.State.String()
		if u.Reason != "" {
			text += ": " + u.Reason
		}
		if p := s.prober.result(u.Upstream); p != nil && p.Error != "" {
			text += ", but " + p.Error
		}
		facts = append(facts, Change{What: "replica " + u.Name, After: strings.TrimSpace(u.Address + " " + text)})
	}
	return facts
}

// since tells what is otherwise than before, which may be nil.
func (p *picture) since(before *picture) []Event {
	now := time.Now()
	if before == nil {
		text := count(len(p.routes), "route", "routes") + ", " + count(len(p.problems), "problem", "problems")
		return []Event{{Time: now, Kind: Started, Subject: "Portway", Text: text, Changes: []Change{}}}
	}
	var all []Event
	note := func(kind, subject, id, text string, changes []Change) {
		all = append(all, Event{Time: now, Kind: kind, Subject: subject, RouteID: id, Text: text, Changes: append([]Change{}, changes...)})
	}
	for id, r := range p.routes {
		old, known := before.routes[id]
		changes := differences(old.facts, r.facts)
		switch {
		case !known:
			note(RouteAdded, r.name, id, r.name+" is new", changes)
		case len(changes) > 0:
			note(RouteChanged, r.name, id, r.name+": "+words(changes), changes)
		}
	}
	for id, r := range before.routes {
		if _, stays := p.routes[id]; !stays {
			note(RouteRemoved, r.name, id, r.name+" is gone", differences(r.facts, nil))
		}
	}
	for x := range p.problems {
		if !before.problems[x] {
			note(ProblemFound, x.Source, "", sentence(x), nil)
		}
	}
	for x := range before.problems {
		if !p.problems[x] {
			note(ProblemSolved, x.Source, "", sentence(x), nil)
		}
	}
	for name, text := range p.certificates {
		if old := before.certificates[name]; old != text {
			note(CertChanged, name, "", name+": "+text, []Change{{What: "certificate", Before: old, After: text}})
		}
	}
	slices.SortFunc(all, func(a, b Event) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Subject, b.Subject), strings.Compare(a.Text, b.Text))
	})
	return all
}

func differences(before, after []Change) []Change {
	old := make(map[string]string, len(before))
	for _, c := range before {
		old[c.What] = c.After
	}
	var all []Change
	for _, c := range after {
		if was := old[c.What]; was != c.After {
			all = append(all, Change{c.What, was, c.After})
		}
		delete(old, c.What)
	}
	for _, c := range before {
		if was, gone := old[c.What]; gone && was != "" {
			all = append(all, Change{c.What, was, ""})
		}
	}
	return all
}

func words(changes []Change) string {
	parts := make([]string, len(changes))
	for i, c := range changes {
		switch {
		case c.Before == "":
			parts[i] = c.What + " is now " + c.After
		case c.After == "":
			parts[i] = c.What + " is gone"
		default:
			parts[i] = c.What + " was " + c.Before + ", is now " + c.After
		}
	}
	return strings.Join(parts, "; ")
}

// sentence is a Problem in one line.
func sentence(p Problem) string {
	text := p.Source + ": "
	if p.Label != "" {
		text += p.Label + ": "
	}
	text += p.Why
	if p.Fix != "" {
		text += "; " + p.Fix
	}
	return text
}
