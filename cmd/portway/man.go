package main

import (
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// manCmd is "portway man".
type manCmd struct{}

// Run prints the manual page; docs/portway.1 is the same.
func (manCmd) Run(inv *invocation) error {
	writeMan(os.Stdout, inv.ctx.Model)
	return nil
}

// roff makes text what a formatter shows as it is.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// writeMan writes the page in the macros of man(7).
func writeMan(w io.Writer, app *kong.Application) {
	out(w, ".\\\" Generated from the commands' declaration by make generate.\n.TH PORTWAY 1\n.SH NAME\nportway \\- an automatic\\-HTTPS reverse proxy that takes its routes from Docker labels\n")
	out(w, ".SH SYNOPSIS\n.B portway\n[\\fICOMMAND\\fR] [\\fIFLAGS\\fR]\n.SH DESCRIPTION\n")
	for paragraph := range strings.SplitSeq(description, "\n\n") {
		if strings.HasPrefix(paragraph, "\t") {
			out(w, ".PP\n.nf\n%s\n.fi\n", roff(paragraph))
		} else {
			out(w, ".PP\n%s\n", roff(paragraph))
		}
	}
	out(w, ".SH COMMANDS\n")
	all := completions(app.Node, nil)
	for _, c := range all[1:] {
		out(w, ".SS %s\n%s\n", roff("portway "+c.path+positional(app.Node, c.path)), roff(c.help))
		for _, f := range own(app.Node, c.path) {
			if c.path != "run" {
				writeFlag(w, f)
			}
		}
	}
	group := ""
	out(w, ".SH SETTINGS\nFlags of portway run, and of all commands.\n")
	for _, f := range settings(app) {
		if f.Group != nil && f.Group.Title != group {
			group = f.Group.Title
			out(w, ".SS %s\n", roff(strings.TrimSuffix(group, ":")))
		}
		writeFlag(w, f)
	}
	out(w, ".SH EXIT STATUS\n0 if all went well, 1 if something failed or is not served, 2 if the command or a setting cannot be used.\n")
	out(w, ".SH FILES\n.TP\n%s\nSettings.\n.TP\n%s\nStatic routes.\n", roff(defaultConfig), roff(defaultRoutes))
}

func writeFlag(w io.Writer, f *kong.Flag) {
	name := "--" + f.Name
	if f.Short != 0 {
		name = "-" + string(f.Short) + ", " + name
	}
	value := ""
	if !f.IsBool() {
		value = "=\\fI" + roff(f.FormatPlaceHolder()) + "\\fR"
	}
	out(w, ".TP\n\\fB%s\\fR%s\n%s\n", roff(name), value, roff(f.Help))
}

// find gives the command with a path.
func find(node *kong.Node, path string) *kong.Node {
	for word := range strings.FieldsSeq(path) {
		for _, child := range node.Children {
			if child.Name == word {
				node = child
				break
			}
		}
	}
	return node
}

// own lists the flags that a command alone has.
func own(node *kong.Node, path string) []*kong.Flag { return find(node, path).Flags }

func positional(node *kong.Node, path string) string {
	text := ""
	for _, p := range find(node, path).Positional {
		text += " <" + p.Name + ">"
	}
	return text
}
