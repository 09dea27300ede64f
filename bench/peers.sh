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
build caddy github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.1
build kamal-proxy github.com/basecamp/kamal-proxy/cmd/kamal-proxy@v0.9.1
if [ ! -x "$bin/traefik" ]; then
	dir=$(go mod download -json github.com/traefik/traefik/v3@v3.7.13 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	src=$PWD/.cache/traefik
	rm -rf "$src" && cp -r "$dir" "$src" && chmod -R u+w "$src" && mkdir -p "$src/webui/static" && echo placeholder >"$src/webui/static/index.html" &&
		(cd "$src" && go build -trimpath -o "$bin/traefik" ./cmd/traefik) || echo "could not build traefik" >&2
	rm -rf "$src"
fi
