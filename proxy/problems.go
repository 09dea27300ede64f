package proxy

import (
	"time"

	"portway/label"
)

// Problems are those that come with time, to routes that had none.
func (s *Server) Problems() []label.Problem {
	t := s.table.Load()
	if t == nil {
		return nil
	}
	var all []label.Problem
	for _, n := range t.sites {
		if why, fix := n.listed.Problem(time.Now()); why != "" {
			all = append(all, label.Problem{Source: n.route.Source, Why: why, Fix: fix})
		}
	}
	return all
}
