# Two ways to the same image:
#
#   docker build -t portway .                     from source, with the golang image
#   docker build -t portway --target prebuilt \
#     --build-arg TARGETARCH=amd64 .              from dist/amd64/portway, built on the
#                                                 host; pulls nothing ("make images")
#
# Both work with BuildKit and with the legacy builder. That one sets no
# TARGETARCH, and it runs every stage up to its target: building from source it
# passes through prebuilt, which must therefore not fail without dist/. So its
# COPY lines have wildcards, and the licence, which is always there.
#
# There is no USER line, on purpose. A compose file that mounts
# /var/run/docker.sock cannot know the group which may use it; it differs from
# host to host. So Portway starts as root, opens its ports, looks up the
# socket's group, and then becomes user 65532 with that one group, without any
# capability and with no_new_privs: before it reads a label, speaks to a CA or
# takes a connection. The log says so at each start. With "user: 65532:65532"
# (and group_add, or a socket proxy) it never is root; that works as well, and
# with "cap_drop: [ALL]" too.

FROM scratch AS base
# Selects this image's defaults: storage /data, control socket in /run/portway,
# user 65532. Setting PORTWAY_STORAGE and so on here instead would hide the same
# settings in a user's portway.yaml.
ENV PORTWAY_DEFAULTS=image
EXPOSE 80 443 443/udp
HEALTHCHECK --interval=5s --timeout=6s --start-period=5s --retries=3 CMD ["/portway", "healthcheck"]
LABEL org.opencontainers.image.title="Portway" \
      org.opencontainers.image.description="Automatic HTTPS for Docker containers, from one label" \
      org.opencontainers.image.licenses="MIT"
ENTRYPOINT ["/portway"]

FROM base AS prebuilt
ARG TARGETARCH
ARG VERSION=dev
LABEL org.opencontainers.image.version="${VERSION}"
# Empty folders that belong to 65532: a volume mounted over /data takes that on.
COPY --chown=65532:65532 LICENSE dist/rootfs* /
COPY LICENSE dist/${TARGETARCH}/portway* /
VOLUME /data

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
# portway_all_dns: DNS providers with large SDKs as well.
ARG TAGS=
RUN CGO_ENABLED=0 go build -tags "${TAGS}" -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /out/portway ./cmd/portway \
 && mkdir -p -m 700 /out/rootfs/data /out/rootfs/run/portway

FROM base
ARG VERSION=dev
LABEL org.opencontainers.image.version="${VERSION}"
COPY --chown=65532:65532 --from=build /out/rootfs/ /
COPY LICENSE /
COPY --from=build /out/portway /
VOLUME /data
