package lint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
)

// project is what compose-go made of the files of one folder.
type project struct {
	*types.Project
	places *places
}

// service is one of them, as the container that would come of it.
type service struct {
	types.ServiceConfig
	project   *project
	container string            // its name
	labels    map[string]string // for discovery: secrets may be read from elsewhere
	unknown   bool              // nothing here says which ports it exposes
}

// load reads all projects.
func (l *linter) load(ctx context.Context) error {
	groups, err := group(l.cfg.Paths)
	if err != nil {
		return err
	}
	for _, files := range groups {
		if err := l.loadProject(ctx, files); err != nil {
			return err
		}
	}
	return nil
}

// group sorts paths by the project that they belong to.
func group(paths []string) ([][]string, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var groups [][]string
	byFolder := make(map[string]int)
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		folder := filepath.Dir(p)
		files := []string{p}
		if info.IsDir() {
			if folder, files = p, composeFiles(p); files == nil {
				return nil, fmt.Errorf("%s: holds no compose file (%s)", p, strings.Join(cli.DefaultFileNames, ", "))
			}
		}
		folder = filepath.Clean(folder)
		i, known := byFolder[folder]
		if !known {
			i = len(groups)
			byFolder[folder] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], files...)
	}
	return groups, nil
}

// composeFiles finds what docker compose would use in a folder.
func composeFiles(folder string) []string {
	var files []string
	for _, names := range [][]string{cli.DefaultFileNames, cli.DefaultOverrideFileNames} {
		for _, name := range names {
			file := filepath.Join(folder, name)
			if _, err := os.Stat(file); err == nil {
				files = append(files, file)
				break
			}
		}
		if files == nil {
			return nil
		}
	}
	return files
}

func (l *linter) loadProject(ctx context.Context, files []string) error {
	places := &places{}
	for _, f := range files {
		places.add(f)
	}
	options, err := cli.NewProjectOptions(files,
		cli.WithWorkingDirectory(filepath.Dir(files[0])),
		cli.WithEnv(pairs(l.cfg.Env)), cli.WithEnvFiles(), cli.WithDotEnv,
		cli.WithProfiles(l.profiles()),
	)
	if err != nil {
		return err
	}
	lookup := options.Environment.Resolve
	cli.WithLoadOptions(func(o *loader.Options) {
		if o.Interpolate == nil {
			o.Interpolate = &interpolation.Options{}
		}
		o.Interpolate.Substitute = substitute
	})(options) //nolint:errcheck // it returns none
	p, err := options.LoadProject(ctx)
	if err != nil {
		l.notLoaded(files[0], err)
		return nil
	}
	made := &project{Project: p, places: places}
	l.projects = append(l.projects, made)
	l.variables(made, lookup)
	l.addServices(made)
	return nil
}

// substitute is what Compose does with variables, but leaves hashes of passwords whole
// whose $ is not doubled: those are told about where they are found, and all else can
// still be looked at.
func substitute(text string, lookup template.Mapping) (string, error) {
	return template.SubstituteWithOptions(whole(text), lookup, template.WithoutLogging)
}

func pairs(env map[string]string) []string {
	all := make([]string, 0, len(env))
	for k, v := range env {
		all = append(all, k+"="+v)
	}
	return all
}

func (l *linter) profiles() []string {
	if len(l.cfg.Profiles) == 0 {
		return []string{"*"}
	}
	return l.cfg.Profiles
}

// notLoaded tells about files which Compose itself would refuse.
func (l *linter) notLoaded(file string, err error) {
	for _, each := range flatten(err) {
		text := strings.ReplaceAll(strings.TrimSpace(each.Error()), "\n", "; ")
		l.add(Finding{Level: Error, Rule: "compose", File: file, Why: "does not load: " + text, Fix: "see whether docker compose config takes it"})
	}
}

// flatten gives the errors that were joined.
func flatten(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && len(joined.Unwrap()) > 1 {
		return joined.Unwrap()
	}
	return []error{err}
}

// addServices lists the services of a project in the order of its files.
func (l *linter) addServices(p *project) {
	names := slices.SortedFunc(maps.Keys(p.Services), func(a, b string) int {
		return cmp.Or(p.places.service(a).before(p.places.service(b)), strings.Compare(a, b))
	})
	for _, name := range names {
		s := &service{ServiceConfig: p.Services[name], project: p, labels: maps.Clone(map[string]string(p.Services[name].Labels))}
		if s.GetScale() == 0 || s.Provider != nil {
			continue
		}
		if s.labels == nil {
			s.labels = make(map[string]string)
		}
		s.container = cmp.Or(s.ContainerName, p.Name+"-"+name+"-1")
		s.labels["com.docker.compose.project"], s.labels["com.docker.compose.service"] = p.Name, name
		l.services = append(l.services, s)
		if l.portway == nil && s.isPortway() {
			l.portway = s
		}
	}
}

// isPortway tells whether a service is Portway itself: by its image, whatever registry it
// is from, or by its name where it is built.
func (s *service) isPortway() bool {
	image, _, _ := strings.Cut(s.Image, "@")
	image, _, _ = strings.Cut(path.Base(image), ":")
	return image == "portway" || s.Build != nil && s.Name == "portway"
}
