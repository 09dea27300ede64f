package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// healthcheckCmd is "portway healthcheck".
type healthcheckCmd struct{}

// Run succeeds if the running Portway serves. Docker starts it in the container
// as the image's user, root; it becomes the user that serves before it does
// anything.
func (healthcheckCmd) Run(c *cli) error {
	if err := c.becomeUser(); err != nil {
		return err
	}
	if err := health(c.Control); err != nil {
		return err
	}
	fmt.Println("ok")
	return nil
}

// health is nil if the Portway at a control socket serves, and else why not.
func health(control string) error {
	status, body, err := ask(control, "/healthz")
	if err == nil && status != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(body)))
	}
	return err
}

// becomeUser gives up root for --user, if there is anything to give up.
func (c *cli) becomeUser() error {
	if os.Geteuid() != 0 || c.User == "" {
		return nil
	}
	id, err := parseIdentity(c.User)
	if err != nil || id.uid == 0 {
		return err
	}
	return dropPrivileges(id, nil)
}
