// Command portway is an automatic-HTTPS reverse proxy that takes its routes
// from the labels of Docker containers.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	// The roots of public CAs, for images and machines that have none of their own.
	_ "golang.org/x/crypto/x509roots/fallback"
)

func main() {
	os.Exit(execute(os.Args[1:], os.Environ()))
}

// execute runs one command and gives the exit status: 0, 1 for what failed
// while running, 2 for settings that cannot be used.
func execute(args, environ []string) int {
	inv, err := parse(args, environ)
	if err != nil {
		return fail(err, 2)
	}
	if err := inv.ctx.Run(inv); err != nil {
		return fail(err, 1)
	}
	return 0
}

func fail(err error, status int) int {
	if decided := (exit{}); errors.As(err, &decided) {
		status = decided.status
		if decided.err == nil {
			return status
		}
	}
	if bad := (*settingsError)(nil); errors.As(err, &bad) {
		status = 2
		if parse := (*kong.ParseError)(nil); errors.As(err, &parse) {
			err = bad // without the flag that kong puts in front
		}
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(os.Stderr, "portway: %s\n", strings.TrimSuffix(line, "\n"))
	}
	return status
}

// invocation is a command line with the environment and the settings file that
// complete it.
type invocation struct {
	cli     *cli
	ctx     *kong.Context
	sources *sources
	args    []string
	environ []string
}

// parse reads a command line, and looks at the settings of "run" as a whole.
func parse(args, environ []string) (*invocation, error) {
	inv, err := parseSettings(args, environ)
	if err == nil && inv.ctx.Command() == "run" {
		err = errors.Join(inv.sources.unknown(inv.ctx.Model), inv.cli.Run.check(inv))
	}
	return inv, err
}

// parseSettings reads flags, environment and settings file, in this order of
// precedence.
func parseSettings(args, environ []string) (*invocation, error) {
	inv := &invocation{cli: &cli{}, args: args, environ: environ, sources: newSources(environ)}
	parser, err := kong.New(inv.cli,
		kong.Name("portway"),
		kong.Description(description),
		kong.Vars(defaults(inv.sources.env)),
		kong.Resolvers(inv.sources),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ExplicitGroups(groups),
	)
	if err != nil {
		return nil, err
	}
	inv.ctx, err = parser.Parse(args)
	return inv, err
}
