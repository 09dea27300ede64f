// Package show writes what package admin tells for people at a terminal: tables,
// explanations and log lines, in colours if that is wanted. Nothing that strangers
// sent, in a path or a log line, can do anything to the terminal.
package show

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printer writes to Out.
type Printer struct {
	Out    io.Writer
	Colour bool
}

// paint is a colour of ECMA-48.
type paint string

const (
	plain  paint = ""
	bold   paint = "1"
	dim    paint = "2"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
	cyan   paint = "36"
)

// in gives text, which is clean, in a colour.
func (p Printer) in(c paint, text string) string {
	if !p.Colour || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// clean takes out what a terminal would follow.
func clean(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, text)
}

// cell is a text in a table.
type cell struct {
	text   string
	colour paint
}

// c makes a cell.
func c(text string, colour ...paint) cell {
	made := cell{text: clean(text)}
	if len(colour) > 0 {
		made.colour = colour[0]
	}
	return made
}

// table writes rows below a head, each column as wide as it has to be.
func (p Printer) table(head []string, rows [][]cell) {
	top := make([]cell, len(head))
	for i, h := range head {
		top[i] = c(h, dim)
	}
	rows = append([][]cell{top}, rows...)
	widths := make([]int, len(head))
	for _, row := range rows {
		for i, x := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(x.text))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, x := range row {
			b.WriteString(p.in(x.colour, x.text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(x.text)+2))
			}
		}
		p.line("%s", strings.TrimRight(b.String(), " "))
	}
}

func (p Printer) line(format string, args ...any) {
	_, _ = fmt.Fprintf(p.Out, format+"\n", args...) // the terminal is gone: nobody is left to be told
}
