package main

import "runtime"

const arch = runtime.GOARCH

// staticRoute is the route file that stands in for the label without an engine.
const staticRoute = `# Written by make demo: without a Docker engine, a file says what a label would.
whoami:
  host: %s
  to: http://%s
`
