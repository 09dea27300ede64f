package main

import (
	"context"
	"debug/buildinfo"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"

	"portway/internal/freeport"
)

//go:embed conf
var configs embed.FS

// peer is one proxy under measurement.
type peer struct {
	name    string
	version string
	addr    string // TLS, on TCP and, if http3, on UDP
	plain   string // plain HTTP; unused by measurements
	http3   bool
	bulk    bool  // measured only where large bodies are
	full    bool  // with 1,000 routes and eight middleware; measured only beside the bare one
	watched bool  // with metrics, access log and traces; measured only beside one without
	bare    *peer // Portway without those, beside one with
	cache   bool  // has one
	idleRSS int64
	peakRSS int64

	launch func(ctx context.Context) error
	cmd    *exec.Cmd
	log    *os.File
}

// recipe says how to start a peer.
type recipe struct {
	name    string
	binary  string   // in bin or on PATH
	version []string // arguments that print it
	config  string   // template in conf/, empty: none
	args    []string // templates
	http3   bool
	bulk    bool
	full    bool
	watched bool
	beside  string // the peer that it is compared with
	cache   bool
	missing string // how to get it
}

// beforePeer is Portway as it was, to see what a change has brought.
const beforePeer = "portway-before"

// unwatchedPeer is Portway that counts nothing, beside one that does.
const unwatchedPeer = "portway-unwatched"

var portwayArgs = []string{
	"run", "--http={{.Plain}}", "--https={{.Addr}}", "--docker=off", "--storage={{.Dir}}/data",
	"--routes={{.Dir}}/routes", "--control={{.Dir}}/control.sock", "--log-level=warn",
}

var recipes = []recipe{
	{
		name: "nginx", binary: "nginx", version: []string{"-v"}, config: "nginx.conf",
		args: []string{"-p", "{{.Dir}}", "-c", "{{.Config}}"}, cache: true, missing: "apt-get install nginx-light",
	},
	{
		name: "portway", binary: "portway", version: []string{"version"}, config: "portway-routes.yaml",
		args: portwayArgs, http3: true, cache: true, missing: "make build",
	},
	{
		name: beforePeer, binary: "portway", version: []string{"version"}, config: "portway-routes.yaml",
		args: portwayArgs, http3: true, cache: true,
	},
	{
		name: "portway-full", binary: "portway", version: []string{"version"}, config: "full-routes.yaml",
		args: portwayArgs, full: true, beside: "portway", missing: "make build",
	},
	{
		name: unwatchedPeer, binary: "portway", version: []string{"version"}, config: "portway-routes.yaml",
		args: append(slices.Clip(portwayArgs), "--metrics=off"), watched: true, missing: "make build",
	},
	{
		name: "portway-watched", binary: "portway", version: []string{"version"}, config: "portway-routes.yaml",
		args:    append(slices.Clip(portwayArgs), "--access-log={{.Dir}}/access.log", "--traces=http://{{.Origin}}", "--trace-sample=1%"),
		watched: true, beside: unwatchedPeer, missing: "make build",
	},
	{
		name: "nginx-large", binary: "nginx", version: []string{"-v"}, config: "nginx.conf",
		args: []string{"-p", "{{.Dir}}", "-c", "{{.Config}}"}, bulk: true, missing: "apt-get install nginx-light",
	},
	{
		name: "haproxy", binary: "haproxy", version: []string{"-v"}, config: "haproxy.cfg",
		args: []string{"-db", "-f", "{{.Config}}"}, cache: true, missing: "apt-get install haproxy",
	},
	{
		name: "caddy", binary: "caddy", version: []string{"version"}, config: "Caddyfile",
		args: []string{"run", "--adapter", "caddyfile", "--config", "{{.Config}}"}, http3: true,
		missing: "go install github.com/caddyserver/caddy/v2/cmd/caddy",
	},
	{
		name: "traefik", binary: "traefik", version: []string{"version"}, config: "routes.traefik.yaml",
		args: []string{
			"--entrypoints.web.address={{.Addr}}", "--entrypoints.web.http3", "--providers.file.filename={{.Config}}",
			"--log.level=ERROR", "--global.checknewversion=false", "--global.sendanonymoususage=false",
		}, http3: true, missing: "build its module from the Go module proxy (see bench/README.md)",
	},
}

// startPeers starts the wanted peers and waits until each proxies a request.
func startPeers(ctx context.Context, env *environment, o options) (peers []*peer, missing []string, err error) {
	want := strings.FieldsFunc(o.peers, func(r rune) bool { return r == ',' })
	for _, r := range recipes {
		if r.name == beforePeer && o.before == "" || len(want) > 0 && r.name != beforePeer && !slices.Contains(want, r.name) {
			continue
		}
		p, err := r.start(ctx, env, o)
		switch {
		case errors.Is(err, exec.ErrNotFound) && r.binary != "portway":
			missing = append(missing, fmt.Sprintf("%s is not here: %s", r.name, r.missing))
		case err != nil:
			for _, p := range peers {
				p.stop()
			}
			return nil, nil, fmt.Errorf("start %s: %w", r.name, err)
		default:
			if i := slices.IndexFunc(peers, func(p *peer) bool { return p.name == r.beside }); i >= 0 {
				p.bare = peers[i]
			}
			fmt.Fprintf(os.Stderr, "started %-12s %s\n", p.name, p.version)
			peers = append(peers, p)
		}
	}
	return peers, missing, nil
}

func (r recipe) find(env *environment, o options) (string, error) {
	switch {
	case r.name == beforePeer:
		return filepath.Abs(o.before)
	case r.binary == "portway":
		return filepath.Abs(o.portway)
	}
	if own := filepath.Join(env.bin, r.binary); exists(own) {
		return own, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		if path := filepath.Join(dir, r.binary); exists(path) {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (r recipe) start(ctx context.Context, env *environment, o options) (*peer, error) {
	bin, err := r.find(env, o)
	if err != nil {
		return nil, err
	}
	p := &peer{name: r.name, http3: r.http3, bulk: r.bulk, full: r.full, watched: r.watched, cache: r.cache}
	if p.addr, err = freeport.On("127.0.0.1"); err != nil {
		return nil, err
	}
	if p.plain, err = freeport.On("127.0.0.1"); err != nil {
		return nil, err
	}
	dir := filepath.Join(env.work, r.name)
	if err := os.MkdirAll(filepath.Join(dir, "routes"), 0o755); err != nil {
		return nil, err
	}
	vars := map[string]any{
		"Dir": dir, "Addr": p.addr, "Port": port(p.addr), "Plain": p.plain, "PlainPort": port(p.plain), "Host": host,
		"Origin": env.originAddr, "GRPC": env.grpcAddr, "Cert": env.certFile, "Key": env.keyFile, "Both": env.bothFile,
		"Config": filepath.Join(dir, r.config), "Large": r.bulk, "Workers": workers(),
	}
	if r.binary == "portway" {
		vars["Config"] = filepath.Join(dir, "routes", "bench.yaml")
	}
	if r.full {
		sites := make([]int, 1000)
		for i := range sites {
			sites[i] = i
		}
		vars["Sites"] = sites
	}
	if r.config != "" {
		text, err := expandFile("conf/"+r.config, vars)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(vars["Config"].(string), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	args, err := expandAll(r.args, vars)
	if err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, bin, r.version...).CombinedOutput(); err == nil {
		p.version = firstLine(string(out))
	}
	if v := moduleVersion(bin); v != "" {
		p.version = r.name + " " + v
	}
	if p.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	p.launch = func(ctx context.Context) error {
		p.cmd = exec.Command(bin, args...)
		p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.log, p.log
		p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_STATE_HOME="+dir)
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := p.cmd.Start(); err != nil {
			return err
		}
		if err := p.ready(ctx); err != nil {
			p.end()
			log, _ := os.ReadFile(p.log.Name())
			return fmt.Errorf("%w; its log ends: %s", err, tail(string(log), 600))
		}
		return nil
	}
	if err := p.launch(ctx); err != nil {
		_ = p.log.Close()
		return nil, err
	}
	if p.full && !o.short {
		if err := p.settle(ctx); err != nil {
			p.stop()
			return nil, err
		}
	}
	p.idleRSS = memory(p.cmd.Process.Pid, "VmRSS")
	return p, nil
}

func (p *peer) ready(ctx context.Context) error {
	if err := waitListening(ctx, p.addr); err != nil {
		return err
	}
	return poll(ctx, func() error { return getOnce(p.addr) })
}

// moduleVersion is the version of a program that the Go module proxy had and that
// does not know itself; empty for others. A copied source has none, so that bench/peers.sh
// hands it over by the linker.
func moduleVersion(bin string) string {
	info, err := buildinfo.ReadFile(bin)
	if err != nil || strings.HasPrefix(info.Main.Path, "portway") {
		return ""
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if _, v, ok := strings.Cut(s.Value, "version.Version="); ok && s.Key == "-ldflags" {
			v, _, _ = strings.Cut(v, " ")
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}

// notePeak notes how much memory the peer has taken.
func (p *peer) notePeak() { p.peakRSS = max(p.peakRSS, memory(p.cmd.Process.Pid, "VmHWM")) }

// restart ends the peer and starts it again, as it was.
func (p *peer) restart(ctx context.Context) error {
	p.end()
	return p.launch(ctx)
}

// stop ends the peer for good.
func (p *peer) stop() {
	p.end()
	_ = p.log.Close()
}

// end ends the peer's process and waits for it.
func (p *peer) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		_ = p.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-ended
	}
}

func expandAll(args []string, vars map[string]any) ([]string, error) {
	out := make([]string, len(args))
	for i, a := range args {
		text, err := expand(a, vars)
		if err != nil {
			return nil, err
		}
		out[i] = text
	}
	return out, nil
}

func expandFile(name string, vars map[string]any) (string, error) {
	b, err := configs.ReadFile(name)
	if err != nil {
		return "", err
	}
	return expand(string(b), vars)
}

func expand(text string, vars map[string]any) (string, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, vars)
	return b.String(), err
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.Join(strings.Fields(line), " ")
}

func tail(s string, n int) string {
	if len(s) > n {
		s = s[len(s)-n:]
	}
	return s
}
