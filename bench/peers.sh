#!/usr/bin/env bash
# Gets the peers and load tools that can be had here: Debian packages (as root)
# and programs from the Go module proxy. What fails is named; the bench leaves it out.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.cache/bin
mkdir -p "$bin"

need=()
for pair in nginx:nginx-light haproxy:haproxy wrk:wrk h2load:nghttp2-client; do
	PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || need+=("${pair#*:}")
done
ls /usr/lib/*/libnss_wrapper.so >/dev/null 2>&1 || need+=(libnss-wrapper)
if [ ${#need[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "missing: ${need[*]} (apt-get install as root)" >&2
	else
		# The packages must not start their services: their ports may be in use.
		policy=/usr/sbin/policy-rc.d
		[ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap 'rm -f $policy' EXIT; }
		apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${need[@]}" >/dev/null ||
			echo "could not install ${need[*]}" >&2
	fi
fi
[ "${1:-}" = --debian-only ] && exit 0

build() { # NAME MODULE-PATH@VERSION
	[ -x "$bin/$1" ] || GOBIN=$bin GOFLAGS=-buildvcs=false go install -trimpath "$2" || echo "could not build $1" >&2
}
build caddy github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9

# Traefik's module lacks what only its repository or its DNS providers' SDKs have:
# a stand-in for an empty extension package, no DNS challenges, and no basic or
# digest authentication (its fork of go-http-auth is not on the proxy). None of it
# is on the path of a measured request.
build_traefik() (
	set -e
	dir=$(go mod download -json github.com/traefik/traefik/v3@v3.7.13 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	src=$PWD/.cache/traefik
	rm -rf "$src" && cp -r "$dir" "$src" && chmod -R u+w "$src" && cd "$src"
	mkdir -p webui/static pkg/config/dynamic/ext
	echo placeholder >webui/static/index.html
	printf 'module github.com/traefik/traefik/dynamic/ext\n\ngo 1.24\n' >pkg/config/dynamic/ext/go.mod
	printf 'package ext\n\ntype (\n\tHTTP struct{}\n\tRouter struct{}\n)\n' >pkg/config/dynamic/ext/ext.go
	sed -i '/lego\/v5\/providers\/dns"$/d; s|dns.NewDNSChallengeProviderByName(p.DNSChallenge.Provider)|nil, errors.New("left out of this build")|' pkg/provider/acme/provider.go
	sed -i 's|goauth.CheckSecret,|func(_, _ string) bool { return false },|' pkg/middlewares/auth/basic_auth.go
	sed -i 's|d.auth.RequireAuthStale(|func(http.ResponseWriter, *http.Request) {}(|' pkg/middlewares/auth/digest_auth.go
	go mod edit -replace github.com/abbot/go-http-auth=github.com/abbot/go-http-auth@v0.4.0
	go build -mod=mod -trimpath -ldflags "-X github.com/traefik/traefik/v3/pkg/version.Version=3.7.13" -o "$bin/traefik" ./cmd/traefik
	rm -rf "$src"
)
[ -x "$bin/traefik" ] || build_traefik || echo "could not build traefik" >&2
