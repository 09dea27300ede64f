package lint

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"portway/label"
)

// configFile is where the image looks for its settings; configVariable says otherwise.
const (
	configFile     = "/etc/portway/portway.yaml"
	configVariable = "PORTWAY_CONFIG"
)

// configure takes over what the service that is Portway is started with.
func (l *linter) configure() {
	l.static = l.cfg.Routes
	if l.portway == nil {
		if len(l.cfg.Networks) == 0 && len(l.services) > 0 {
			l.add(Finding{
				Level: Note, Rule: "network",
				Why: "no service here is Portway, so whether it shares a network with the others is not looked at",
				Fix: "add its compose file, or say --network NAME",
			})
		}
		return
	}
	env := make(map[string]string)
	for name, value := range l.portway.Environment {
		if value != nil && !indirect(*value) {
			env[name] = *value
		}
	}
	config := env[configVariable]
	if config == "" {
		config = configFile
	}
	env[configVariable] = os.DevNull // never the file of this machine
	if local, ok := l.portway.local(config); ok {
		env[configVariable] = local
	}
	if l.cfg.Settings == nil {
		return
	}
	var complaints []string
	l.settings, complaints = l.cfg.Settings(l.portway.Command, env)
	for _, text := range complaints {
		name, why, ok := strings.Cut(text, ": ")
		at, found := l.portway.project.places.find(l.portway.Name, "environment", name)
		if !ok || !found {
			name, why, at = "", text, l.portway.project.places.service(l.portway.Name)
		}
		f := Finding{Level: Error, Rule: "setting", Service: l.portway.Name, Label: name, Why: why}
		l.add(f.at(at))
	}
	l.lookAtStorage()
	if l.static == "" && l.settings.Routes != "" {
		l.static, _ = l.portway.local(l.settings.Routes)
	}
}

// lookAtStorage tells where Portway cannot store what it needs to.
func (l *linter) lookAtStorage() {
	storage := l.settings.Storage
	if storage == "" {
		return
	}
	at, readOnly := "", l.portway.ReadOnly
	for _, v := range l.portway.Volumes {
		if _, below := strings.CutPrefix(storage+"/", strings.TrimSuffix(v.Target, "/")+"/"); below && len(v.Target) >= len(at) {
			at, readOnly = v.Target, v.ReadOnly
		}
	}
	for _, target := range l.portway.Tmpfs {
		target, _, _ = strings.Cut(target, ":")
		readOnly = readOnly && target != storage
	}
	if !readOnly {
		return
	}
	f := Finding{
		Level: Error, Rule: "storage", Service: l.portway.Name, Why: "the storage folder " + storage + " is read-only, so that no certificate can be kept",
		Fix: "mount a volume there, such as portway-data:" + storage,
	}
	if at != "" {
		f.Why, f.Fix = "the storage folder "+storage+" is mounted read-only, so that no certificate can be kept", "mount it without :ro"
	}
	l.add(f.at(l.portway.project.places.service(l.portway.Name)))
}

// indirect tells whether a value only says where the value is.
func indirect(value string) bool {
	return strings.HasPrefix(value, "file:") || strings.HasPrefix(value, "env:")
}

// local finds the file or folder of this machine that a service sees at a path; ok is
// false if there is none, or none is here.
func (s *service) local(target string) (local string, ok bool) {
	local, _ = s.source(target)
	if local == "" {
		return "", false
	}
	_, err := os.Stat(local)
	return local, err == nil
}

// source tells what a service sees at a path: mounted is whether something is there, and
// local, unless it is empty, is where that is on this machine.
func (s *service) source(target string) (local string, mounted bool) {
	for _, secret := range s.Secrets {
		at := secret.Target
		if at == "" {
			at = secret.Source
		}
		if !path.IsAbs(at) {
			at = path.Join("/run/secrets", at)
		}
		if at == target {
			return s.project.Secrets[secret.Source].File, true
		}
	}
	for _, config := range s.Configs {
		at := config.Target
		if at == "" {
			at = "/" + config.Source
		}
		if at == target {
			return s.project.Configs[config.Source].File, true
		}
	}
	longest := -1
	for _, v := range s.Volumes {
		rest, below := strings.CutPrefix(target+"/", strings.TrimSuffix(v.Target, "/")+"/")
		if !below || len(v.Target) < longest {
			continue
		}
		longest, mounted, local = len(v.Target), true, ""
		if v.Type == types.VolumeTypeBind {
			local = filepath.Join(v.Source, strings.TrimSuffix(rest, "/"))
		}
	}
	return local, mounted
}

// folders are options that name a folder in Portway's container.
var folders = []string{"error-pages"}

// resolvePaths has files, folders and variables of Portway's container read from where
// they are on this machine. Those that are elsewhere are noted.
func (l *linter) resolvePaths() {
	l.later = make(map[string]bool)
	for _, s := range l.services {
		for key, value := range s.labels {
			if !strings.HasPrefix(key, label.Prefix) {
				continue
			}
			isFolder := slices.ContainsFunc(folders, func(o string) bool { return strings.HasSuffix(key, "."+o) })
			if !isFolder && !indirect(value) {
				continue
			}
			found, here := l.resolve(value, isFolder)
			if s.labels[key] = found; !here {
				l.later[laterKey(s, key)] = true
			}
		}
	}
}

// resolve gives what to read instead of value; here is false if it is there for Portway,
// but not on this machine.
func (l *linter) resolve(value string, isFolder bool) (found string, here bool) {
	if l.portway == nil {
		return value, false
	}
	prefix, target := "file:", value
	if isFolder {
		prefix = ""
	} else {
		path, isFile := label.SecretFile(value)
		if !isFile {
			return l.variable(value)
		}
		target = path
	}
	local, mounted := l.portway.source(target)
	if _, err := os.Stat(local); err == nil && local != "" {
		return prefix + local, true
	}
	return value, !mounted
}

// variable is resolve for env:NAME.
func (l *linter) variable(value string) (found string, here bool) {
	given, known := l.portway.Environment[strings.TrimSpace(strings.TrimPrefix(value, "env:"))]
	if given != nil && *given != "" && !indirect(*given) {
		return *given, true
	}
	return value, !known
}

func laterKey(s *service, key string) string { return s.container + " " + key }

// published tells whether anything of Portway's can be reached from outside directly.
func (s *service) published() bool {
	return s.NetworkMode == "host" || slices.ContainsFunc(s.Ports, func(p types.ServicePortConfig) bool { return p.Target != 0 })
}
