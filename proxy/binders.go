package proxy

import (
	"portway/label"
	"portway/proxy/balance"
	"portway/proxy/health"
	"portway/proxy/middleware"
)

// Binders makes all that labels and static files can say about a route beyond
// route.Options: what happens to its requests, and how they are shared among its
// replicas, and how those are checked. Discovery puts them into route.Route.Middleware, where a Server finds
// them.
func Binders() []label.Binder {
	return append(middleware.All(), &balance.Options{}, &health.Options{})
}
