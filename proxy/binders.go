package proxy

import (
	"slices"

	"portway/label"
	"portway/proxy/balance"
	"portway/proxy/cache"
	"portway/proxy/health"
	"portway/proxy/middleware"
	"portway/proxy/origintls"
)

// Binders makes all that labels and static files can say about a route beyond
// route.Options: what happens to its requests, in the order in which they pass, how
// they are shared among its replicas, and how those are checked and spoken to. Discovery puts them
// into route.Route.Middleware, where a Server finds them.
func Binders() []label.Binder {
	return slices.Concat(
		middleware.BeforeCache(), []label.Binder{&cache.Options{}}, middleware.BehindCache(),
		[]label.Binder{&balance.Options{}, &health.Options{}, &origintls.Options{}},
	)
}
