package middleware

import "portway/label"

// All makes every middleware for one route, in the order in which requests pass
// them. Responses pass them the other way round, and so does the answer that one of
// them gives instead of the origin: it passes only those above it.
//
// The order is part of what protects a site, and is the same for all routes:
//
//   - What belongs to every answer, also to a refusal, is on top: the request's ID and trace,
//     compression, which must see a response as it will be sent, and the fields that
//     tell browsers how to treat the site. Those that a user writes (response-headers)
//     come after the presets on the way back, so that they have the last word.
//   - error-pages is below those, so that its pages are treated like any answer, and above
//     all that may refuse.
//   - tls comes before all that answers, like ip: it is about connections.
//   - ip comes before all that answers: whoever is not allowed learns nothing.
//   - cors is before whatever may refuse, since a browser shows a script the reason
//     of a refusal only with these fields, and sends preflights without credentials.
//   - redirect is before auth, so that nobody gives a password to a name that only
//     points to another one, and before rate-limit, since a redirect costs nothing.
//   - maintenance is before what counts or asks: visitors need no password to be told.
//   - rate-limit is before basic-auth and forward-auth, so that it also limits guessing.
//   - Those two are before all that acts on behalf of a visitor, and above all before
//     paths are changed: what is protected is what the client asked for. The password
//     of basic-auth is not for the service of forward-auth, so it is checked first.
//   - max-body is behind them too: strangers get no other answer than theirs.
//   - request-headers is before paths are changed, so that {path} is the client's, and
//     before the cache, whose answers may depend on what is set there.
//   - The cache (package cache) is at this place: behind all that is about one visitor, so
//     that what it stores is as the origin gave it, and who gets it is refused, counted,
//     logged in and sent compressed content as if it came from there; and before what
//     changes paths, so that addresses are those that people know, for example to purge
//     one. BeforeCache and BehindCache are the two parts of the list.
//   - buffer-request is behind all that may refuse, so that strangers fill no memory, and
//     before max-in-flight, so that who sends slowly takes no place.
//   - max-in-flight is behind auth, so that strangers cannot take the places of users,
//     and behind the cache, since what it answers takes no place at the origin.
//   - Paths: first a prefix is taken off, then one put in front, and rewrite sees what
//     the origin would get.
//   - respond is last, since it stands for the origin.
func All() []label.Binder { return append(BeforeCache(), BehindCache()...) }

// BeforeCache makes those that requests pass before the cache.
func BeforeCache() []label.Binder {
	return []label.Binder{
		&requestID{},
		&trace{},
		&compress{},
		&responseHeaders{},
		&securityHeaders{},
		&hsts{},
		&errorPages{},
		&ClientTLS{},
		&ipFilter{},
		&cors{},
		&redirect{},
		&maintenance{},
		&rateLimit{},
		&basicAuth{},
		&forwardAuth{},
		&maxBody{},
		&requestHeaders{},
	}
}

// BehindCache makes those that only requests pass which the cache does not answer.
func BehindCache() []label.Binder {
	return []label.Binder{
		&bufferRequest{},
		&maxInFlight{},
		&stripPrefix{},
		&addPrefix{},
		&rewrite{},
		&respond{},
	}
}
