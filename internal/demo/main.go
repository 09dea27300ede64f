// Command demo starts the quickstart example and waits until it answers over
// HTTPS; "make demo" and "make demo-down" run it. Without a Docker engine it
// starts plain processes with a static route file instead.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	host      = "whoami.localhost"
	caFile    = "dist/portway-ca.crt"
	stateDir  = ".cache/demo"
	stateFile = stateDir + "/state.json"
	patience  = time.Minute
)

func main() {
	if len(os.Args) != 2 || os.Args[1] != "up" && os.Args[1] != "down" {
		fmt.Fprintln(os.Stderr, "usage: demo up|down")
		os.Exit(2)
	}
	run := up
	if os.Args[1] == "down" {
		run = down
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// state is what a later run needs to know of this one.
type state struct {
	HTTP, HTTPS int
	PIDs        []process `json:",omitempty"` // without an engine
}

// stage is what the demo runs on: an engine, or plain processes.
type stage interface {
	start(*state) error
	logs() // shows why nothing answers
	stop(*state) error
}

func up() error {
	var st state
	again := load(&st)
	var on stage = processes{}
	if engineAnswers() {
		c, err := findCompose()
		if err != nil {
			return err
		}
		on = c
	} else {
		fmt.Println("No Docker engine: Portway and whoami run as plain processes, with a static route file.")
	}
	if !again {
		var err error
		if st, err = choosePorts(os.Getenv("PORTWAY_DEMO_HTTP"), os.Getenv("PORTWAY_DEMO_HTTPS")); err != nil {
			return err
		}
	}
	if err := on.start(&st); err != nil {
		return err
	}
	if err := save(&st); err != nil {
		return err
	}
	if err := await(&st); err != nil {
		on.logs()
		return err
	}
	url, port := "https://"+host, ""
	if st.HTTPS != 443 {
		port = ":" + strconv.Itoa(st.HTTPS)
	}
	fmt.Printf("\nPortway found whoami by its label and serves it:\n\n    %s%s\n\nwith a certificate from its internal CA:\n\n    curl --cacert %s %s%s\n\nmake demo-down removes all of it.\n", url, port, caFile, url, port)
	return nil
}

func down() error {
	var st state
	if !load(&st) && !engineAnswers() {
		return nil
	}
	var errs []error
	if len(st.PIDs) > 0 {
		errs = append(errs, processes{}.stop(&st))
	}
	if engineAnswers() {
		c, err := findCompose()
		if err == nil {
			err = c.stop(&st)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, os.RemoveAll(stateDir), os.RemoveAll(caFile))...)
}

func load(st *state) bool {
	text, err := os.ReadFile(stateFile)
	return err == nil && json.Unmarshal(text, st) == nil
}

func save(st *state) error {
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(stateFile, text, 0o644)
}

// await fetches the internal CA's root over plain HTTP, as a user would, and
// then the site over HTTPS, verified against that root and nothing else.
func await(st *state) error {
	if err := os.MkdirAll(filepath.Dir(caFile), 0o755); err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	pem, err := retry(deadline, func() ([]byte, error) {
		return get(&http.Transport{}, fmt.Sprintf("http://127.0.0.1:%d/.well-known/portway/ca.crt", st.HTTP))
	})
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("what /.well-known/portway/ca.crt answers is no certificate")
	}
	if err := os.WriteFile(caFile, pem, 0o644); err != nil {
		return err
	}
	_, err = retry(deadline, func() ([]byte, error) {
		t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host}, DisableKeepAlives: true}
		dialer := &net.Dialer{Timeout: 5 * time.Second}
		t.DialContext = dialer.DialContext
		return get(t, fmt.Sprintf("https://127.0.0.1:%d/", st.HTTPS))
	})
	return err
}

func get(t *http.Transport, url string) ([]byte, error) {
	defer t.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if t.TLSClientConfig != nil {
		req.Host = host
	}
	resp, err := (&http.Client{Transport: t, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return body, err
}

// retry tries until it works; nothing else tells when a container is up.
func retry(deadline time.Time, try func() ([]byte, error)) ([]byte, error) {
	for {
		body, err := try()
		if err == nil {
			return body, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("gave up after %s: %w", patience, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
