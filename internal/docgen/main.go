// Command docgen writes docs/labels.md from the options that labels can set, so
// that the page cannot differ from the program. It takes the file's name.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"text/template"

	"portway/label"
	"portway/proxy"
	"portway/route"
)

//go:embed labels.md.tmpl
var page string

// groups are the tables of the page: the name of each in the template, and the first
// words of its options.
var groups = map[string][]string{
	"Route":     {"host", "path", "port", "scheme", "network", "https"},
	"TLS":       {"tls"},
	"OriginTLS": {"origin-tls"},
	"Criteria":  {"match", "priority"},
	"Sharing":   {"weight", "canary", "mirror", "failover"},
	"Redirects": {"redirect-host", "redirect"},
	"Paths":     {"strip-prefix", "add-prefix", "rewrite"},
	"Fields":    {"request-headers", "response-headers", "security-headers", "hsts", "cors", "request-id", "trace"},
	"Access":    {"ip", "basic-auth", "forward-auth"},
	"Limits":    {"rate-limit", "max-in-flight", "max-body", "buffer-request"},
	"Answers":   {"compress", "error-pages", "respond", "maintenance"},
	"Cache":     {"cache"},
	"Balancing": {"balance", "sticky", "slow-start", "eject", "retry", "breaker", "timeout", "replica"},
	"Health":    {"health"},
	"Shared":    {"use", "defaults", "enable"},
}

// sections are the tables of the page by the names that the template has for
// them. What is bound elsewhere belongs here as well.
func sections() map[string][]label.Option {
	all := make(map[string][]label.Option)
	options := route.NewParser(proxy.Binders).Schema().Options()
	for name, words := range groups {
		for _, word := range words {
			for _, o := range options {
				if first, _, _ := strings.Cut(o.Name, "."); first == word {
					all[name] = append(all[name], o)
				}
			}
		}
	}
	return all
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: docgen FILE")
		os.Exit(2)
	}
	text, err := render()
	if err == nil {
		err = os.WriteFile(os.Args[1], []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

// render gives the whole page.
func render() (string, error) {
	tmpl, err := template.New("labels.md").Funcs(template.FuncMap{"table": table}).Parse(page)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = tmpl.Execute(&b, sections())
	return b.String(), err
}

// table shows options as a Markdown table.
func table(options []label.Option) string {
	var b strings.Builder
	b.WriteString("| Label | Meaning | Value | Default | Example |\n|---|---|---|---|---|\n")
	for _, o := range options {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(label.Key("", o.Name)), cell(o.Doc), cell(accepted(o)), code(o.Default), code(o.Example))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// accepted says what values an option takes.
func accepted(o label.Option) string {
	text := o.Type
	switch {
	case len(o.Values) > 0:
		words := make([]string, len(o.Values))
		for i, v := range o.Values {
			words[i] = code(v)
		}
		last := len(words) - 1
		text = strings.Join(words[:last], ", ") + " or " + words[last]
	case o.Min != 0 || o.Max != 0:
		text = fmt.Sprintf("%s from %d to %d", o.Type, o.Min, o.Max)
	}
	if o.Secret {
		text += ", secret"
	}
	return text
}

func code(s string) string {
	if s == "" {
		return "–"
	}
	return "`" + cell(s) + "`"
}

// cell keeps text inside of its column.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
