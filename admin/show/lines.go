package show

import (
	"fmt"
	"slices"
	"strings"

	"portway/admin"
)

// Line writes a line of the log.
func (p Printer) Line(x admin.Line) {
	colour := dim
	switch x.Level {
	case "WARN":
		colour = yellow
	case "ERROR":
		colour = red
	case "INFO":
		colour = green
	}
	keys := make([]string, 0, len(x.Attrs))
	for k := range x.Attrs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	for _, k := range keys {
		value := clean(fmt.Sprint(x.Attrs[k]))
		if value == "" || strings.ContainsAny(value, " \"=") {
			value = fmt.Sprintf("%q", value)
		}
		b.WriteString(" " + p.in(cyan, clean(k)+"=") + value)
	}
	p.line("%s %s %s%s", p.in(dim, x.Time.Local().Format("15:04:05.000")), p.in(colour, fmt.Sprintf("%-5s", x.Level)), clean(x.Message), b.String())
}
