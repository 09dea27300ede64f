# Everything a contributor does. `make` alone lists it.
GO      ?= go
ARCH    ?= $(shell $(GO) env GOARCH)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# portway_all_dns: DNS providers with large SDKs as well (make binaries TAGS=...).
TAGS    ?=
FUZZTIME ?= 30s
STATIC  := CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -tags "$(TAGS)" -trimpath -ldflags="-s -w -X main.version=$(VERSION)"

# For another platform with BuildKit: what the legacy builder makes from scratch
# is always for this one.
OTHER = $(filter-out $(shell $(GO) env GOHOSTARCH),$(ARCH))
DOCKER_BUILD = $(if $(OTHER),DOCKER_BUILDKIT=1) docker build -q --target prebuilt --build-arg TARGETARCH=$(ARCH) $(if $(OTHER),--platform linux/$(ARCH))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build portway for this machine into dist/
	$(GO) build -tags "$(TAGS)" -trimpath -ldflags="-X main.version=$(VERSION)" -o dist/portway ./cmd/portway

.PHONY: test
test: ## run every test; gets the tools it needs, starts a Docker engine if there is none
	@scripts/test

.PHONY: race
race: ## run all tests with the race detector, as go test prints them
	$(GO) test -race -timeout 15m ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s); REPORT=docs/fuzzing.md keeps the figures
	@$(GO) run ./internal/fuzz -time $(FUZZTIME) $(if $(REPORT),-report $(REPORT))

.PHONY: lint
lint: ## check formatting and lint
	@scripts/tool golangci-lint
	@.cache/bin/golangci-lint fmt --diff
	@.cache/bin/golangci-lint run --allow-parallel-runners

.PHONY: generate
generate: ## write the generated docs and files again
	$(GO) generate ./...

.PHONY: binaries
binaries: ## build the static Linux binaries that images are made of (ARCH=amd64 or arm64)
	@$(STATIC) -o dist/$(ARCH)/ ./cmd/portway ./cmd/whoami
	@mkdir -p -m 700 dist/rootfs/data dist/rootfs/run/portway

.PHONY: images
images: binaries ## build the images portway and portway-whoami, without a registry
	@said=$$($(DOCKER_BUILD) --build-arg VERSION=$(VERSION) -t portway . 2>&1) || { echo "$$said" >&2; exit 1; }
	@said=$$($(DOCKER_BUILD) -t portway-whoami -f cmd/whoami/Dockerfile . 2>&1) || { echo "$$said" >&2; exit 1; }
	@docker image ls --format 'image {{.Repository}}:{{.Tag}} {{.Size}}' | grep -E '^image portway(-whoami)?:latest '

.PHONY: demo
demo: ## build the images, start the quickstart, wait for https://whoami.localhost
	@scripts/engine || true
	@$(GO) run ./internal/demo up

.PHONY: demo-down
demo-down: ## remove all that make demo made
	@$(GO) run ./internal/demo down
	@scripts/engine stop

.PHONY: bench
bench: build ## measure Portway beside its peers (takes long; needs a quiet machine)
	bench/peers.sh
	$(GO) run ./bench

.PHONY: clean
clean: ## remove dist/ and .cache/
	rm -rf dist .cache
