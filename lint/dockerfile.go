package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/docker/go-connections/nat"
)

// stage is a part of a Dockerfile, from one FROM to the next.
type stage struct {
	name, base string
	exposes    []nat.Port
	unclear    bool // something is exposed that only a build tells
}

// exposed gives the ports that the image of a service will EXPOSE, as the Dockerfile tells
// that it is built from. ok is false if that cannot be known: it is not here, or no EXPOSE
// is in it and its base image has to say.
func (s *service) exposed() (ports []nat.Port, ok bool) {
	text, ok := s.dockerfile()
	if !ok {
		return nil, false
	}
	stages := readStages(text, s.buildArg)
	for at := targeted(stages, s.Build.Target); ; {
		if at < 0 {
			return ports, len(ports) > 0
		}
		if stages[at].unclear {
			return nil, false
		}
		ports = append(ports, stages[at].exposes...)
		if strings.EqualFold(stages[at].base, "scratch") {
			return ports, true
		}
		at = named(stages[:at], stages[at].base)
	}
}

// dockerfile reads it from the folder that the service is built from.
func (s *service) dockerfile() (text string, ok bool) {
	b := s.Build
	switch {
	case b == nil:
		return "", false
	case b.DockerfileInline != "":
		return b.DockerfileInline, true
	}
	file := b.Dockerfile
	if file == "" {
		file = "Dockerfile"
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(b.Context, file)
	}
	content, err := os.ReadFile(file) // a context that is a URL is no folder of this machine
	return string(content), err == nil
}

// buildArg is what compose gives for an argument of the build.
func (s *service) buildArg(name string) (string, bool) {
	value, ok := s.Build.Args[name]
	if !ok || value == nil {
		return "", false
	}
	return *value, true
}

// targeted is the index of the stage that becomes the image; -1 if there is none.
func targeted(stages []stage, target string) int {
	if target == "" {
		return len(stages) - 1
	}
	if n, err := strconv.Atoi(target); err == nil && n < len(stages) {
		return n
	}
	return named(stages, target)
}

func named(stages []stage, name string) int {
	for i := len(stages) - 1; i >= 0; i-- {
		if stages[i].name != "" && strings.EqualFold(stages[i].name, name) {
			return i
		}
	}
	return -1
}

// heredoc is the beginning of text that ends at a line with its word only.
var heredoc = regexp.MustCompile(`<<-?["']?([A-Za-z_][A-Za-z0-9_]*)["']?`)

// readStages reads what matters here of a Dockerfile: FROM, EXPOSE, and the variables that
// may be in them.
func readStages(text string, arg func(string) (string, bool)) (stages []stage) {
	global, known := make(map[string]string), make(map[string]string)
	expand := func(text string) string {
		out, err := template.SubstituteWithOptions(text, func(name string) (string, bool) {
			value, ok := known[name]
			return value, ok
		}, template.WithoutLogging)
		if err != nil {
			return text
		}
		return out
	}
	for instruction, rest := range instructions(text) {
		words := strings.Fields(rest)
		switch instruction {
		case "FROM":
			for len(words) > 0 && strings.HasPrefix(words[0], "--") {
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			known = global // arguments from before the first FROM are for FROM only
			x := stage{base: expand(words[0])}
			if len(words) == 3 && strings.EqualFold(words[1], "AS") {
				x.name = words[2]
			}
			stages = append(stages, x)
			known = make(map[string]string)
		case "ARG":
			for _, w := range words {
				name, value, given := strings.Cut(w, "=")
				if said, ok := arg(name); ok {
					value, given = said, true
				} else if !given && len(stages) > 0 {
					value, given = lookUp(global, name)
				}
				if given {
					known[name] = expand(strings.Trim(value, `"'`))
				}
			}
			if len(stages) == 0 {
				global = known
			}
		case "ENV":
			if len(words) == 2 && !strings.Contains(words[0], "=") {
				words = []string{words[0] + "=" + words[1]}
			}
			for _, w := range words {
				if name, value, ok := strings.Cut(w, "="); ok {
					known[name] = expand(strings.Trim(value, `"'`))
				}
			}
		case "EXPOSE":
			if len(stages) == 0 {
				continue
			}
			last := &stages[len(stages)-1]
			for _, w := range words {
				ports := portsOf(expand(strings.Trim(w, `"'`)))
				last.exposes = append(last.exposes, ports...)
				last.unclear = last.unclear || ports == nil
			}
		}
	}
	return stages
}

func lookUp(all map[string]string, name string) (string, bool) {
	value, ok := all[name]
	return value, ok
}

// portsOf reads a word of EXPOSE, which may be a range.
func portsOf(word string) (ports []nat.Port) {
	which, proto, _ := strings.Cut(word, "/")
	from, to, err := nat.ParsePortRangeToInt(which)
	if err != nil || which == "" {
		return nil
	}
	for n := from; n <= to; n++ {
		if p, err := nat.NewPort(orTCP(strings.ToLower(proto)), strconv.Itoa(n)); err == nil {
			ports = append(ports, p)
		}
	}
	return ports
}

// instructions gives those of a Dockerfile, each on one line, without comments and heredocs.
func instructions(text string) func(yield func(string, string) bool) {
	escape := `\`
	if first, _, _ := strings.Cut(text, "\n"); strings.HasPrefix(strings.ReplaceAll(first, " ", ""), "#escape=`") {
		escape = "`"
	}
	return func(yield func(string, string) bool) {
		var joined string
		var until []string // words that end heredocs
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			switch {
			case len(until) > 0:
				if line == until[0] {
					until = until[1:]
				}
				continue
			case line == "", strings.HasPrefix(line, "#"):
				continue
			}
			if part, more := strings.CutSuffix(line, escape); more {
				joined += part + " "
				continue
			}
			joined += line
			instruction, rest, _ := strings.Cut(joined, " ")
			joined = ""
			instruction = strings.ToUpper(instruction)
			switch instruction {
			case "RUN", "COPY", "ADD":
				for _, m := range heredoc.FindAllStringSubmatch(rest, -1) {
					until = append(until, m[1])
				}
			}
			if !yield(instruction, rest) {
				return
			}
		}
	}
}
