//go:build !portway_all_dns

package dns

import "github.com/go-acme/lego/v5/challenge"

// Without the tag, no build has the providers with large SDKs.
func heavy(string) (challenge.Provider, error) { return nil, nil }

func heavyNames() []string { return nil }
