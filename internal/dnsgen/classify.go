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

// classify decides by the libraries that a provider needs.
func classify(pkg string, libraries map[string]bool) kind {
	if absentWhy(pkg) != "" {
		return absent
	}
	for library := range libraries {
		if !cheap(library) {
			return heavy
		}
	}
	return light
}

// cheap tells of a library that all binaries may have: one that is no vendor's, or
// an SDK that was measured to cost little for how much its provider is used.
func cheap(library string) bool {
	switch {
	case library == "golang.org/x/oauth2/google", strings.HasPrefix(library, "github.com/aws/aws-sdk-go-v2/service/lightsail"):
		return false
	case strings.HasPrefix(library, "golang.org/x/"):
		return true
	}
	return slices.ContainsFunc(cheapModules(), func(m string) bool {
		return library == m || strings.HasPrefix(library, m+"/")
	})
}

// cheapModules have the bytes that each adds to a stripped binary for amd64 (lego
// 5.4.1, Go 1.26), where it is an SDK.
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

		"github.com/Azure/azure-sdk-for-go",          // 2.4 MB
		"github.com/aws/aws-sdk-go-v2",               // 1.2 MB
		"github.com/baidubce/bce-sdk-go",             // 0.05 MB
		"github.com/gophercloud",                     // 0.5 MB
		"github.com/go-acme/jdcloud-sdk-go",          // 0.03 MB
		"github.com/infobloxopen/infoblox-go-client", // 0.3 MB
		"github.com/labbsr0x/bindman-dns-webhook",    // 0.06 MB
		"github.com/linode/linodego",                 // 1.1 MB
		"github.com/liquidweb/liquidweb-go",          // 0.2 MB
		"github.com/namedotcom/go",                   // 0.01 MB
		"github.com/nrdcg/auroradns",                 // 0.01 MB
		"github.com/nrdcg/bunny-go",                  // 0.01 MB
		"github.com/nrdcg/desec",                     // 0.01 MB
		"github.com/nrdcg/freemyip",                  // 0.01 MB
		"github.com/nrdcg/goacmedns",                 // 0.01 MB
		"github.com/nrdcg/goinwx",                    // 0.5 MB
		"github.com/nrdcg/mailinabox",                // 0.01 MB
		"github.com/nrdcg/namesilo",                  // 0.01 MB
		"github.com/nrdcg/nodion",                    // 0.01 MB
		"github.com/nrdcg/porkbun",                   // 0.01 MB
		"github.com/nrdcg/vegadns",                   // 0.01 MB
		"github.com/nzdjb/go-metaname",               // 0.01 MB
		"github.com/ovh/go-ovh",                      // 0.09 MB
		"github.com/scaleway/scaleway-sdk-go",        // 0.1 MB
		"github.com/selectel",                        // 0.02 MB
		"github.com/transip/gotransip",               // 0.02 MB
		"github.com/ultradns/ultradns-go-sdk",        // 0.01 MB
		"github.com/vinyldns/go-vinyldns",            // 0.02 MB
		"github.com/volcengine/volc-sdk-golang",      // 0.02 MB
		"github.com/vultr/govultr",                   // 0.3 MB
		"gopkg.in/ns1/ns1-go.v2",                     // 0.08 MB
	}
}

func pick(all []provider, k kind) []provider {
	var some []provider
	for _, p := range all {
		if p.kind == k {
			some = append(some, p)
		}
	}
	return some
}

// Why says why no build has the provider.
func (p provider) Why() string { return absentWhy(p.Package) }
