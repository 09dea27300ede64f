package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd is "portway completion".
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a script for the shell; it is made of the same declaration as the
// commands themselves.
func (x completionCmd) Run(inv *invocation) error {
	all := completions(inv.ctx.Model.Node, nil)
	switch x.Shell {
	case "bash":
		writeBash(os.Stdout, all)
	case "zsh":
		writeZsh(os.Stdout, all)
	default:
		writeFish(os.Stdout, all)
	}
	return nil
}

// completion is a command with what can follow it.
type completion struct {
	path     string // words with a space between; empty: portway itself
	help     string
	commands []*kong.Node
	flags    []*kong.Flag // its own, and those of the commands above it
	values   []string     // of its argument, if there are only some
}

// completions lists node and all commands below it.
func completions(node *kong.Node, path []string) []completion {
	c := completion{path: strings.Join(path, " "), help: node.Help}
	for _, group := range node.AllFlags(true) {
		c.flags = append(c.flags, group...)
	}
	if run := node.DefaultCmd; run != nil {
		c.flags = append(c.flags, run.Flags...)
	}
	for _, p := range node.Positional {
		c.values = append(c.values, choices(p)...)
	}
	all := []completion{c}
	for _, child := range node.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			all[0].commands = append(all[0].commands, child)
			all = append(all, completions(child, append(path[:len(path):len(path)], child.Name))...)
		}
	}
	return all
}

// words are what can follow a command.
func (c *completion) words() []string {
	var all []string
	for _, n := range c.commands {
		all = append(all, n.Name)
	}
	all = append(all, c.values...)
	for _, f := range c.flags {
		all = append(all, "--"+f.Name)
	}
	return all
}

// values are what a flag takes: words, or files if it names one.
func values(f *kong.Flag) (words []string, files bool) {
	switch strings.TrimSuffix(f.PlaceHolder, ",...") {
	case "FILE", "FOLDER", "PATH":
		return nil, true
	}
	return choices(f.Value), false
}

// choices are the words that v can be, if there are only some.
func choices(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}

func out(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

func writeBash(w io.Writer, all []completion) {
	out(w, `# bash completion for portway: source <(portway completion bash)
_portway() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path="" word
	[[ $cur == = ]] && cur=""
	[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case "${path:+$path }$word" in
`)
	for _, c := range all[1:] {
		out(w, "\t\t%q) path=%q ;;\n", c.path, c.path)
	}
	out(w, "\t\tesac\n\tdone\n\tcase \"$path $prev\" in\n")
	for _, c := range all {
		for _, f := range c.flags {
			if words, files := values(f); files {
				out(w, "\t%q) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", c.path+" --"+f.Name)
			} else if len(words) > 0 {
				out(w, "\t%q) COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", c.path+" --"+f.Name, strings.Join(words, " "))
			}
		}
	}
	out(w, "\tesac\n\tcase \"$path\" in\n")
	for _, c := range all {
		out(w, "\t%q) COMPREPLY=($(compgen -W %q -- \"$cur\")) ;;\n", c.path, strings.Join(c.words(), " "))
	}
	out(w, "\tesac\n}\ncomplete -F _portway portway\n")
}

// quote makes text a word in single quotes, for zsh and fish.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// brief is the first sentence of a help text.
func brief(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	first, _, _ = strings.Cut(first, "; ")
	return strings.TrimSuffix(first, ".")
}

func writeZsh(w io.Writer, all []completion) {
	out(w, `#compdef portway
# zsh completion for portway: source <(portway completion zsh)
_portway() {
	local path="" word
	for word in "${words[@]:1:$((CURRENT-2))}"; do
		case "${path:+$path }$word" in
`)
	for _, c := range all[1:] {
		out(w, "\t\t%s) path=%s ;;\n", quote(c.path), quote(c.path))
	}
	out(w, "\t\tesac\n\tdone\n\tlocal -a commands flags\n\tcase \"$path\" in\n")
	for _, c := range all {
		out(w, "\t%s)\n\t\tcommands=(", quote(c.path))
		for _, n := range c.commands {
			out(w, " %s", quote(n.Name+":"+brief(n.Help)))
		}
		for _, v := range c.values {
			out(w, " %s", quote(v))
		}
		out(w, ")\n\t\tflags=(")
		for _, f := range c.flags {
			out(w, " %s", quote("--"+f.Name+":"+brief(f.Help)))
		}
		out(w, ")\n\t\t;;\n")
	}
	out(w, "\tesac\n\tcase \"$path ${words[CURRENT-1]}\" in\n")
	for _, c := range all {
		for _, f := range c.flags {
			if words, files := values(f); files {
				out(w, "\t%s) _files; return ;;\n", quote(c.path+" --"+f.Name))
			} else if len(words) > 0 {
				out(w, "\t%s) compadd -- %s; return ;;\n", quote(c.path+" --"+f.Name), strings.Join(words, " "))
			}
		}
	}
	out(w, "\tesac\n\t[[ ${words[CURRENT]} != -* && ${#commands} -gt 0 ]] && _describe command commands\n\t_describe option flags\n}\ncompdef _portway portway\n")
}

func writeFish(w io.Writer, all []completion) {
	out(w, "# fish completion for portway: portway completion fish | source\ncomplete -c portway -f\n")
	for _, c := range all {
		when := "__fish_use_subcommand"
		if c.path != "" {
			parts := strings.Fields(c.path)
			when = ""
			for _, p := range parts {
				when += "; and __fish_seen_subcommand_from " + p
			}
			when = strings.TrimPrefix(when, "; and ")
		}
		for _, n := range c.commands {
			out(w, "complete -c portway -n %s -a %s -d %s\n", quote(when), n.Name, quote(brief(n.Help)))
		}
		if len(c.values) > 0 {
			out(w, "complete -c portway -n %s -a %s\n", quote(when), quote(strings.Join(c.values, " ")))
		}
		for _, f := range c.flags {
			line := fmt.Sprintf("complete -c portway -n %s -l %s -d %s", quote(when), f.Name, quote(brief(f.Help)))
			if f.Short != 0 {
				line += " -s " + string(f.Short)
			}
			if words, files := values(f); files {
				line += " -r -F"
			} else if len(words) > 0 {
				line += " -x -a " + quote(strings.Join(words, " "))
			} else if !f.IsBool() {
				line += " -x"
			}
			out(w, "%s\n", line)
		}
	}
}
