package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"

	"portway/discovery"
	"portway/label"
	"portway/lint"
	"portway/proxy"
)

// lintCmd is "portway lint".
type lintCmd struct {
	Paths   []string `arg:"" optional:"" name:"compose.yaml" help:"Compose files, or folders with one. Files of one folder are one project, later ones overriding. Default: this folder."`
	Profile []string `placeholder:"NAME" help:"Look only at services of these profiles, and those without. Default: all."`
	Network []string `placeholder:"NAME" help:"Networks that Portway is on, where none of the files has its service."`
	Static  string   `placeholder:"FOLDER" help:"Folder of static route files, where the service of Portway does not mount one."`
	Format  string   `placeholder:"FORMAT" enum:"text,json,sarif" default:"text" help:"text, json, or sarif for code hosts. Default: text."`
}

// Run looks at compose files. The exit status is 0 if there is nothing to do, 1 if there
// is, 2 if nothing could be looked at.
func (x lintCmd) Run(inv *invocation) error {
	report, err := lint.Run(context.Background(), lint.Config{
		Paths: x.Paths, Profiles: x.Profile, Env: inv.sources.env, Networks: x.Network, Routes: x.Static,
		Middleware: proxy.Binders, Settings: settingsOf,
	})
	if err != nil {
		return exit{2, err}
	}
	switch x.Format {
	case "json":
		err = report.WriteJSON(os.Stdout)
	case "sarif":
		err = report.WriteSARIF(os.Stdout, version)
	default:
		err = report.WriteText(os.Stdout)
	}
	if err == nil && !report.Clean() {
		err = exit{status: 1}
	}
	return err
}

// settingsOf reads what a service that is Portway is started with, as it would itself.
func settingsOf(args []string, env map[string]string) (lint.Settings, []string) {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") && args[0] != "run" || slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return lint.Settings{}, nil // it does not serve
	}
	environ := []string{imageDefaults + "=" + imageDefaultsValue}
	for _, name := range sortedKeys(env) {
		environ = append(environ, name+"="+env[name])
	}
	inv, err := parseSettings(args, environ)
	var lines []string
	if err != nil {
		bad := (*settingsError)(nil)
		if !errors.As(err, &bad) {
			bad = &settingsError{[]string{err.Error()}}
		}
		return lint.Settings{}, bad.lines
	}
	for _, err := range []error{inv.sources.unknown(inv.ctx.Model), inv.cli.Run.checkShared(inv)} {
		if bad := (*settingsError)(nil); errors.As(err, &bad) {
			lines = append(lines, bad.lines...)
		}
	}
	r := &inv.cli.Run
	if lines != nil {
		r.Default = nil // what cannot be used would only be told about again
	}
	only, _ := discovery.ParseConstraint(r.Constraint) // see checkShared
	s := lint.Settings{
		Defaults: label.Values(r.Default), DefaultHost: r.DefaultHost.HostRule, Only: only, Places: r.GeoIP != "", Routes: r.Routes, Storage: r.Storage,
		InFront: len(r.TrustedProxies) > 0 || len(r.ProxyProtocolFrom) > 0,
	}
	if s.Routes == "" {
		s.Routes = defaultRoutes
	}
	for _, ranges := range r.TrustedProxies {
		s.TrustsAll = s.TrustsAll || slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Bits() == 0 })
	}
	return s, lines
}
