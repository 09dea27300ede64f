package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker (-X main.version=…) from git describe.
var version = ""

// versionCmd is "portway version".
type versionCmd struct{}

// Run prints one line that is enough for a bug report.
func (versionCmd) Run() error {
	fmt.Printf("portway %s (%s, %s/%s)\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// versionString is the linked version, or what go install knows of the module.
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
