// Package accesslog writes a line for each request. It never holds a request up: lines
// go to a buffer in memory that another goroutine writes out, and are dropped, and
// counted, while the file or pipe behind it takes no more.
package accesslog

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"portway/internal/redact"
	"portway/proxy/exchange"
	"portway/proxy/observe"
)

// Config says what is written, and where to.
type Config struct {
	// Path is the file, or "stdout" or "stderr". It is opened by New, and made with mode 0640.
	Path   string
	Format Format
	// Fields are what JSON and logfmt lines have, in this order: names of Fields, and
	// "header:Name" for fields of requests; empty: Default.
	Fields []string
	// Sample is the share of requests that are written, from 0 to 1; those that are
	// answered with 500 or above are all written.
	Sample float64
	// Redact are names of query parameters and header fields, whose values are not
	// written, besides those that package redact knows.
	Redact []string
	// Rotate is the size, in bytes, at which a file is put aside as Path.1; 0: never.
	Rotate int64
	// Keep is how many files are kept aside.
	Keep   int
	Logger *slog.Logger
}

// Log is an access log. Run writes it.
type Log struct {
	sink   *sink
	format func(b []byte, e observe.Event) []byte
	every  uint64 // a request is written if a random number is at most this
}

var _ observe.Observer = (*Log)(nil)

// New opens the log. Its error says what is wrong with the Config.
func New(cfg Config) (*Log, error) {
	l := &Log{every: uint64(min(max(cfg.Sample, 0), 1) * math.MaxUint32)}
	var hidden redact.Names
	for _, name := range cfg.Redact {
		hidden = append(hidden, strings.ToLower(name))
	}
	switch cfg.Format {
	case Common, Combined:
		if len(cfg.Fields) > 0 {
			return nil, fmt.Errorf("lines in the format %s have fixed fields; choose fields with json or logfmt", cfg.Format)
		}
		l.format = classic(cfg.Format == Combined, hidden)
	case JSON, Logfmt:
		fields := cfg.Fields
		if len(fields) == 0 {
			fields = Default()
		}
		columns, err := columnsOf(fields, hidden)
		if err != nil {
			return nil, err
		}
		l.format = structured(columns, cfg.Format == JSON)
	default:
		return nil, fmt.Errorf("no format %q; there are json, logfmt, common and combined", cfg.Format)
	}
	var err error
	l.sink, err = openSink(cfg.Path, cfg.Rotate, cfg.Keep, cfg.Logger)
	return l, err
}

// Run writes until ctx is done, and then what is left, for two seconds at most: a pipe that
// nobody reads does not keep the process.
func (l *Log) Run(ctx context.Context) error {
	written := make(chan struct{})
	go func() { defer close(written); l.sink.run(ctx) }()
	<-ctx.Done()
	limit := time.NewTimer(lastWrites)
	defer limit.Stop()
	select {
	case <-written:
	case <-limit.C:
		l.sink.giveUp()
	}
	return nil
}

// Reopen closes the file and opens it anew, as programs that rotate logs expect (SIGUSR1).
func (l *Log) Reopen() { l.sink.askReopen() }

// Dropped tells how many lines were not written, since the sink was too slow or broken.
func (l *Log) Dropped() uint64 { return l.sink.dropped.Load() }

// Begin does nothing: a line is written at the end.
func (l *Log) Begin(*exchange.Exchange) {}

// End writes the line.
func (l *Log) End(e observe.Event) {
	ex := e.Exchange
	if l.every < math.MaxUint32 && ex.Response.Status < 500 && uint64(rand.Uint32()) > l.every {
		return
	}
	at := len(ex.Memory)
	ex.Memory = append(l.format(ex.Memory, e), '\n')
	l.sink.write(ex.Memory[at:], ex.Place())
	ex.Memory = ex.Memory[:at]
}

// Format is how lines look.
type Format string

// The formats.
const (
	JSON     Format = "json"     // an object a line
	Logfmt   Format = "logfmt"   // name=value
	Common   Format = "common"   // NCSA Common Log Format
	Combined Format = "combined" // the same with Referer and User-Agent
)

// header is what fields of requests are chosen by.
const header = "header:"

// columnsOf finds the columns of names.
func columnsOf(names []string, h redact.Names) ([]column, error) {
	var all []column
	for _, name := range names {
		if field, ok := strings.CutPrefix(name, header); ok && field != "" {
			all = append(all, headerColumn(field, h))
			continue
		}
		c, ok := columnNamed(name, h)
		if !ok {
			return nil, fmt.Errorf("no field %q; there are %s, and header:Name for fields of requests", name, strings.Join(Fields(), ", "))
		}
		all = append(all, c)
	}
	return all, nil
}
