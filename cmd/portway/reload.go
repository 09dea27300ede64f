package main

import (
	"log/slog"
	"reflect"
)

// reloader applies a changed settings file to a running Portway.
type reloader struct {
	inv     *invocation
	logger  *slog.Logger
	running map[string]any        // the values in use, by flag name
	apply   map[string]func(*cli) // settings marked live, by flag name
}

func newReloader(inv *invocation, logger *slog.Logger, apply map[string]func(*cli)) *reloader {
	r := &reloader{inv: inv, logger: logger, running: map[string]any{}, apply: apply}
	for _, f := range settings(inv.ctx.Model) {
		r.running[f.Name] = f.Target.Interface()
	}
	return r
}

// reload reads the settings again. A mistake in them changes nothing; what can
// change only at a start is named.
func (r *reloader) reload() {
	next, err := parse(r.inv.args, r.inv.environ)
	if err != nil {
		r.logger.Error("settings not reloaded: "+err.Error(), "fix", "correct the settings file and send SIGHUP again")
		return
	}
	for _, f := range settings(next.ctx.Model) {
		value := f.Target.Interface()
		if reflect.DeepEqual(r.running[f.Name], value) {
			continue
		}
		if apply := r.apply[f.Name]; apply != nil {
			apply(next.cli)
			r.running[f.Name] = value
			r.logger.Info("setting changed", "setting", f.Name, "value", value)
		} else {
			r.logger.Warn("this setting changes only at a restart", "setting", f.Name, "given_by", next.where(f.Name))
		}
	}
	r.logger.Info("settings reloaded")
}
