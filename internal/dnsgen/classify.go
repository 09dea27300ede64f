package main

import (
	"slices"
	"strings"
)

// kind says which builds have a provider.
type kind int

const (
	light  kind = iota // all
	heavy              // those with the tag
	absent             // none
	ours               // all, by code of our own; those with the tag have lego's too
)

// allTag makes a build have the heavy ones as well.
const allTag = "portway_all_dns"

// absentWhy are providers that no build has.
func absentWhy(pkg string) string {
	switch pkg {
	case "manual":
		return "asks on a terminal"
	case "alidns", "aliesa", "azion", "dnsimple", "edgedns", "edgeone", "huaweicloud", "oraclecloud", "regfish", "sakuracloud", "tencentcloud", "ucloud", "yandexcloud":
		return "its SDK cannot be had from the Go module proxy that Portway is built with"
	}
	return ""
}

// ourVariables are those of a provider of our own in place of lego's.
func ourVariables(pkg string) []string {
	if pkg == "route53" {
		return []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_HOSTED_ZONE_ID", "AWS_PRIVATE_ZONE"}
	}
	return nil
}

// classify decides by the libraries that a provider needs.
func classify(pkg string, libraries map[string]bool) kind {
	if absentWhy(pkg) != "" {
		return absent
	}
	if len(ourVariables(pkg)) > 0 {
		return ours
	}
	for library := range libraries {
		if !cheap(library) {
			return heavy
		}
	}
	return light
}

// cheap tells of a library that all binaries may have: one that is no vendor's, or
// an SDK that costs little for how much its provider is used.
func cheap(library string) bool {
	if strings.HasPrefix(library, "golang.org/x/") && library != "golang.org/x/oauth2/google" {
		return true
	}
	return slices.ContainsFunc(cheapModules(), func(m string) bool {
		return library == m || strings.HasPrefix(library, m+"/")
	})
}

// cheapModules have the bytes that they add to Portway's binary, where they are SDKs
// and it is worth saying (stripped, for amd64, lego 5.4.1, Go 1.26). The linker keeps
// all methods of what it keeps at all, since kong calls some by their names: so an SDK
// costs more here than in a program of its own. Not cheap were those of route53 (5.6
// MB), linode (2.4 MB), azuredns (1.6 MB), infoblox (0.8 MB), OpenStack and vultr (0.7 MB
// each), and of gcloud and exoscale, which have over 9 and 4 MB even alone.
func cheapModules() []string {
	return []string{
		"github.com/bodgit/tsig", // RFC 2136
		"github.com/cenkalti/backoff/v5",
		"github.com/go-jose/go-jose/v4",
		"github.com/go-viper/mapstructure/v2",
		"github.com/google/go-querystring",
		"github.com/google/uuid",
		"github.com/hashicorp/go-retryablehttp",
		"github.com/miekg/dns",
		"github.com/pquerna/otp",

		"github.com/go-acme/jdcloud-sdk-go",
		"github.com/labbsr0x/bindman-dns-webhook",
		"github.com/liquidweb/liquidweb-go",
		"github.com/namedotcom/go",
		"github.com/nrdcg/auroradns",
		"github.com/nrdcg/bunny-go",
		"github.com/nrdcg/desec",
		"github.com/nrdcg/freemyip",
		"github.com/nrdcg/goacmedns",
		"github.com/nrdcg/goinwx",
		"github.com/nrdcg/mailinabox",
		"github.com/nrdcg/namesilo",
		"github.com/nrdcg/nodion",
		"github.com/nrdcg/porkbun",
		"github.com/nrdcg/vegadns",
		"github.com/nzdjb/go-metaname",
		"github.com/ovh/go-ovh",
		"github.com/scaleway/scaleway-sdk-go", // 0.3 MB
		"github.com/transip/gotransip",
		"github.com/ultradns/ultradns-go-sdk",
		"github.com/vinyldns/go-vinyldns",
		"gopkg.in/ns1/ns1-go.v2", // 0.3 MB
	}
}

func pick(all []provider, kinds ...kind) []provider {
	var some []provider
	for _, p := range all {
		if slices.Contains(kinds, p.kind) {
			some = append(some, p)
		}
	}
	return some
}

// Why says why no build has the provider.
func (p provider) Why() string { return absentWhy(p.Package) }
