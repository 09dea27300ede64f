package discovery

import (
	"errors"
	"fmt"
	"strings"

	"portway/label"
	"portway/route"
)

// HostRule makes the host of a container that names none. The zero value makes none.
type HostRule struct {
	parts []string // text and the name of a placeholder in turn
}

// What a HostRule can have of a container.
const (
	ofService   = "service"
	ofProject   = "project"
	ofContainer = "container"
)

// ParseHostRule reads a host name with placeholders in braces: {service} is the
// container's service (of Compose or Swarm, or else its own name), {project} its
// project or stack, {container} its own name.
func ParseHostRule(text string) (HostRule, error) {
	var r HostRule
	sample := ""
	for rest := strings.TrimSpace(text); ; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return HostRule{}, errors.New("has a } without a {")
		}
		r.parts = append(r.parts, before)
		sample += before
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}")
		known := []string{ofService, ofProject, ofContainer}
		if !closed || name != ofService && name != ofProject && name != ofContainer {
			why := fmt.Sprintf("has a placeholder that is not known: {%s", name)
			if near := label.Nearest(name, known); near != "" {
				return HostRule{}, fmt.Errorf("%s}; did you mean {%s}?", why, near)
			}
			return HostRule{}, fmt.Errorf("%s}; there are {service}, {project} and {container}", why)
		}
		r.parts = append(r.parts, name)
		sample += "a"
		rest = behind
	}
	if !r.has(ofService) && !r.has(ofContainer) {
		return HostRule{}, errors.New("would give all containers the same host; write for example {service}.example.com")
	}
	host, err := route.CompileHost(sample)
	if err != nil {
		return HostRule{}, err
	}
	if strings.HasPrefix(host, "*") {
		return HostRule{}, errors.New("has a *, which would be the host of every container")
	}
	return r, nil
}

func (r HostRule) has(placeholder string) bool {
	for i := 1; i < len(r.parts); i += 2 {
		if r.parts[i] == placeholder {
			return true
		}
	}
	return false
}

// host makes the host of a container.
func (r HostRule) host(container, service, project string) (string, error) {
	if service == "" {
		service = container
	}
	var b strings.Builder
	for i, part := range r.parts {
		if i%2 == 0 {
			b.WriteString(part)
			continue
		}
		name := map[string]string{ofService: service, ofProject: project, ofContainer: container}[part]
		safe := hostLabel(name)
		switch {
		case name == "":
			return "", fmt.Errorf("the container has no {%s}", part)
		case safe == "":
			return "", fmt.Errorf("its {%s}, %s, has no letter or digit for a host name", part, label.Quote(name))
		}
		b.WriteString(safe)
	}
	return route.CompileHost(b.String())
}

// hostLabel makes a name fit for one label of a host name: small letters, digits
// and single "-" for all else. A dot is among that, so that a name cannot lead out
// of the domain that it is put in front of.
func hostLabel(name string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	return strings.TrimSuffix(b.String(), "-")
}
