package main

import (
	"portway/admin"
	"portway/proxy"
	"portway/route"
)

// replicas fits what package proxy knows of a route's replicas to what package admin
// asks for.
func replicas(s *proxy.Server) func(*route.Route) []admin.Replica {
	return func(r *route.Route) []admin.Replica {
		live := s.Replicas(r)
		list := make([]admin.Replica, len(live))
		for i, x := range live {
			list[i] = admin.Replica(x)
		}
		return list
	}
}
