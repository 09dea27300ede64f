package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"portway/admin"
)

// psCmd is "portway ps".
type psCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists what discovery saw.
func (p psCmd) Run(c *cli) error {
	var all []admin.Source
	if err := c.ask("/v1/sources", &all); err != nil {
		return err
	}
	if p.JSON {
		return printJSON(all)
	}
	printer().Sources(all)
	return nil
}

// routesCmd is "portway routes".
type routesCmd struct {
	Host string `placeholder:"HOST" help:"Only routes with this host."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run lists what is served.
func (r routesCmd) Run(c *cli) error {
	var all []admin.RouteDetail
	if err := c.ask("/v1/routes?"+url.Values{"host": {r.Host}}.Encode(), &all); err != nil {
		return err
	}
	if r.JSON {
		return printJSON(all)
	}
	printer().Routes(all)
	return nil
}

// logsCmd is "portway logs".
type logsCmd struct {
	Follow bool   `short:"f" help:"Go on with lines as they come."`
	Lines  int    `short:"n" default:"100" help:"How many of the last lines to begin with. Default: 100."`
	Level  string `placeholder:"LEVEL" enum:"debug,info,warn,error" default:"debug" help:"Only lines of this level and above: debug, info, warn or error. Default: debug."`
	Route  string `placeholder:"NAME" help:"Only lines about this route."`
	Host   string `placeholder:"HOST" help:"Only lines about this host."`
	Text   string `placeholder:"TEXT" help:"Only lines with this text."`
	JSON   bool   `name:"json" help:"Print a JSON object for each line."`
}

// Run shows Portway's own log.
func (l logsCmd) Run(c *cli) error {
	v := url.Values{"level": {l.Level}, "n": {strconv.Itoa(l.Lines)}, "route": {l.Route}, "host": {l.Host}, "text": {l.Text}}
	if !l.Follow {
		var lines []admin.Line
		if err := c.ask("/v1/logs?"+v.Encode(), &lines); err != nil {
			return err
		}
		for _, x := range lines {
			l.print(x)
		}
		return nil
	}
	if err := c.becomeUser(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := follow(ctx, c.Control, "/v1/logs/stream?"+v.Encode(), func(data []byte) error {
		var x admin.Line
		if err := json.Unmarshal(data, &x); err != nil {
			return err
		}
		l.print(x)
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l logsCmd) print(x admin.Line) {
	if l.JSON {
		line, _ := json.Marshal(x) // cannot fail: it was JSON
		fmt.Println(string(line))
		return
	}
	printer().Line(x)
}

// ask is askJSON as the user that serves.
func (c *cli) ask(path string, into any) error {
	if err := c.becomeUser(); err != nil {
		return err
	}
	return askJSON(c.Control, path, into)
}

// follow calls f with the data of each server-sent event until ctx is done or the
// stream ends.
func follow(ctx context.Context, socket, path string, f func(data []byte) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://portway"+path, nil)
	if err != nil {
		return err
	}
	resp, err := controlClient(socket, 0).Do(request)
	if err != nil {
		return noPortway(socket, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return errors.New(strings.TrimSpace(string(text)))
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			if err := f(data); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the running Portway has ended the stream: it stops, or hands over to a successor")
}

// verify tells why this machine does not trust a connection.
func verify(host string, s tls.ConnectionState) error {
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: between})
	return err
}
