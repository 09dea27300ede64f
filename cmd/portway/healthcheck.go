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
	status, body, err := ask(c.Control, "/healthz")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	fmt.Print(string(body))
	return nil
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
