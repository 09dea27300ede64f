package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"

	"portway/internal/service"
)

const envPrefix = "PORTWAY_"

// reserved are variables that start with envPrefix but are no settings: those
// of the image, of a predecessor, and of the project's own make targets and tests.
var reserved = []string{imageDefaults, service.HandoverEnv, envPrefix + "TEST_", envPrefix + "DEMO_", envPrefix + "BENCH_"}

// settingsError is a setting that cannot be used, named in the form in which
// it was given.
type settingsError struct{ lines []string }

func (e *settingsError) Error() string { return strings.Join(e.lines, "\n") }

// given is a setting's value with where it came from.
type given struct {
	value string
	where string // "PORTWAY_DRAIN", "/etc/portway/portway.yaml:3: drain"
	lines string // value, if it is a list whose items are lines
}

// sources completes flags from the environment and the settings file. It knows
// for each setting where its value came from, so that an error can say it.
type sources struct {
	env    map[string]string
	file   map[string]given // by flag name; nil until read
	path   string           // of the settings file; empty if there is none
	origin map[string]string
}

var _ kong.Resolver = (*sources)(nil)

func newSources(environ []string) *sources {
	s := &sources{env: map[string]string{}, origin: map[string]string{}}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		s.env[name] = value
	}
	return s
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Resolve gives the value of a flag that is not on the command line, nil if
// nobody gives it. A variable that is set to nothing counts as not set, since
// compose files pass ${NAME:-} on.
func (s *sources) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if err := s.readFile(ctx); err != nil {
		return nil, err
	}
	from, ok := s.file[flag.Name]
	if value := s.env[variable(flag.Name)]; value != "" {
		from, ok = given{value, variable(flag.Name), value}, true
	}
	if !ok {
		return nil, nil
	}
	if kind := flag.Target.Type(); kind == reflect.TypeFor[routeOptions]() || kind == reflect.TypeFor[caOptions]() {
		from.value = from.lines
	}
	if err := try(flag, from.value); err != nil {
		return nil, &settingsError{[]string{from.where + ": " + err.Error()}}
	}
	s.origin[flag.Name] = from.where
	return from.value, nil
}

// try parses a value apart, because kong's own message names the flag, also
// where the value came from a variable or the file.
func try(flag *kong.Flag, value string) error {
	target := reflect.New(flag.Target.Type()).Elem()
	scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: value})
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, target); err != nil {
		return err
	}
	if values := flag.EnumSlice(); flag.Enum != "" && !slices.Contains(values, value) {
		return fmt.Errorf("%q is none of %s", value, strings.Join(values, ", "))
	}
	return nil
}

// readFile reads the settings file once, when kong asks for the first value:
// by then --config has been parsed.
func (s *sources) readFile(ctx *kong.Context) error {
	if s.file != nil {
		return nil
	}
	s.file = map[string]given{}
	path, where := s.env[variable("config")], variable("config")
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			path, where = ctx.FlagValue(p.Flag).(string), "--config"
		}
	}
	if path == "" {
		if _, err := os.Stat(defaultConfig); err != nil {
			return nil
		}
		path, where = defaultConfig, "settings file"
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return &settingsError{[]string{fmt.Sprintf("%s: %v", where, err)}}
	}
	s.path = path
	return s.parseFile(content)
}

func (s *sources) parseFile(content []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return &settingsError{[]string{fmt.Sprintf("%s: %v", s.path, err)}}
	}
	if len(doc.Content) == 0 {
		return nil // empty, or comments only
	}
	at := func(n *yaml.Node, format string, a ...any) error {
		return &settingsError{[]string{fmt.Sprintf("%s:%d: %s", s.path, n.Line, fmt.Sprintf(format, a...))}}
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return at(top, "settings are written as lines of the form name: value")
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if _, twice := s.file[key.Value]; twice {
			return at(key, "%s is given twice", key.Value)
		}
		items, ok := scalars(value)
		if !ok {
			return at(value, "%s takes a plain value or a list of plain values", key.Value)
		}
		s.file[key.Value] = given{strings.Join(items, ","), fmt.Sprintf("%s:%d: %s", s.path, key.Line, key.Value), strings.Join(items, "\n")}
	}
	return nil
}

// scalars gives a plain value, or those of a list.
func scalars(n *yaml.Node) ([]string, bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []string{n.Value}, true
	case yaml.AliasNode:
		return scalars(n.Alias)
	case yaml.SequenceNode:
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, false
			}
			items[i] = item.Value
		}
		return items, true
	default:
		return nil, false
	}
}

// Validate is part of kong.Resolver; see unknown.
func (s *sources) Validate(*kong.Application) error { return nil }

// unknown reports every variable and every key of the file that is no setting,
// with the nearest one that is.
func (s *sources) unknown(app *kong.Application) error {
	var flags []string
	for _, f := range settings(app) {
		flags = append(flags, f.Name)
	}
	var lines []string
	for _, key := range sortedKeys(s.file) {
		if key == "config" {
			lines = append(lines, s.file[key].where+": cannot be set in the file itself; use --config or PORTWAY_CONFIG")
		} else if !slices.Contains(flags, key) {
			lines = append(lines, s.file[key].where+": unknown setting"+didYouMean(key, flags, func(n string) string { return n }))
		}
	}
	for _, name := range sortedKeys(s.env) {
		if value := s.env[name]; name == imageDefaults && value != imageDefaultsValue && value != "" {
			// Not to be lost: it is near to the setting default.
			lines = append(lines, name+": unknown setting"+didYouMean("default", flags, variable))
			continue
		}
		if !strings.HasPrefix(name, envPrefix) || slices.ContainsFunc(reserved, func(r string) bool { return strings.HasPrefix(name, r) }) {
			continue
		}
		key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "-"))
		if !slices.Contains(flags, key) || variable(key) != name {
			lines = append(lines, name+": unknown setting"+didYouMean(key, flags, variable))
		}
	}
	if lines != nil {
		return &settingsError{lines}
	}
	return nil
}

// settings lists the flags that are settings, in the order of declaration.
func settings(app *kong.Application) []*kong.Flag {
	var all []*kong.Flag
	for _, command := range app.Children {
		if command.Name == "run" {
			all = append(all, command.Flags...)
		}
	}
	return append(all, slices.DeleteFunc(slices.Clone(app.Flags), func(f *kong.Flag) bool { return f == app.HelpFlag })...)
}

// where names a setting in the form in which it was given, for errors that
// show only later.
func (inv *invocation) where(flag string) string {
	if from, ok := inv.sources.origin[flag]; ok {
		return from
	}
	return "--" + flag
}
