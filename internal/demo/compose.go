package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
)

const (
	project  = "portway-demo"
	example  = "compose-examples/quickstart/compose.yaml"
	composer = ".cache/bin/docker-compose" // built if the machine has none
)

// engineAnswers tells whether there is a Docker engine to use.
var engineAnswers = sync.OnceValue(func() bool { return exec.Command("docker", "version").Run() == nil })

// compose runs the demo on a Docker engine.
type compose struct{ command []string }

var _ stage = compose{}

// findCompose finds Compose v2, or the older docker-compose, or builds one:
// Debian's docker.io comes without.
func findCompose() (compose, error) {
	for _, c := range [][]string{{"docker", "compose"}, {"docker-compose"}, {composer}} {
		if exec.Command(c[0], append(c[1:], "version")...).Run() == nil {
			return compose{c}, nil
		}
	}
	fmt.Println("No docker compose here; building it from the Go module proxy.")
	if err := show("scripts/tool", "docker-compose"); err != nil {
		return compose{}, err
	}
	return compose{[]string{composer}}, nil
}

func (c compose) run(args ...string) error {
	args = append([]string{"-p", project, "-f", example}, args...)
	return show(c.command[0], append(c.command[1:len(c.command):len(c.command)], args...)...)
}

func (c compose) start(st *state) error {
	if err := show("make", "--no-print-directory", "images"); err != nil {
		return err
	}
	if err := errors.Join(os.Setenv("HTTP_PORT", strconv.Itoa(st.HTTP)), os.Setenv("HTTPS_PORT", strconv.Itoa(st.HTTPS))); err != nil {
		return err
	}
	return c.run("up", "-d")
}

func (c compose) logs() { _ = c.run("logs", "--tail", "50") }

func (c compose) stop(*state) error {
	if err := c.run("down", "--volumes", "--remove-orphans"); err != nil {
		return err
	}
	for _, image := range []string{"portway", "portway-whoami"} {
		if exec.Command("docker", "image", "inspect", image).Run() != nil {
			continue
		}
		if exec.Command("docker", "image", "rm", image).Run() != nil {
			fmt.Printf("The image %s stays: something else uses it.\n", image)
		}
	}
	return nil
}

// show runs a command with its output shown.
func show(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
