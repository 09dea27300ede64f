package main

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"

	"portway/admin"
	"portway/admin/show"
)

// explainCmd is "portway explain".
type explainCmd struct {
	What    string   `arg:"" name:"what" help:"A URL, a host, a container (name, ID or service), or a file of static routes."`
	Method  string   `short:"X" placeholder:"METHOD" default:"GET" help:"The request's method. Default: GET."`
	Header  []string `short:"H" sep:"none" placeholder:"FIELD" help:"A header field of the request, like 'X-Beta: yes'. Can be given several times."`
	Cookie  []string `sep:"none" placeholder:"COOKIE" help:"A cookie of the request, like beta=yes. Can be given several times."`
	Client  string   `placeholder:"ADDRESS" help:"Address of the client, for routes that ask for it."`
	Live    bool     `help:"Send the request, and show how long each hop takes. Replicas are asked directly, too."`
	Connect string   `placeholder:"HOST:PORT" help:"Where --live connects to, instead of where DNS points."`
	JSON    bool     `name:"json" help:"Print JSON."`
}

// explained is what explain prints as JSON.
type explained struct {
	admin.Explanation
	Live *show.Live `json:"live,omitempty"`
}

// Run asks the running Portway. The exit status is 0 if what is asked about is served,
// 1 if not, 2 if nobody can tell.
func (x explainCmd) Run(c *cli) error {
	if err := c.becomeUser(); err != nil {
		return err
	}
	v := url.Values{"what": {x.What}, "method": {strings.ToUpper(x.Method)}, "header": x.Header, "cookie": x.Cookie}
	if x.Client != "" {
		v.Set("client", x.Client)
	}
	var e explained
	if err := askJSON(c.Control, "/v1/explain?"+v.Encode(), &e.Explanation); err != nil {
		return exit{2, err}
	}
	if x.Live && e.Request != nil {
		e.Live = x.send(c, &e.Explanation)
	}
	if err := x.print(&e); err != nil {
		return err
	}
	if !e.Served || e.Live != nil && !e.Live.Good() {
		return exit{status: 1}
	}
	return nil
}

func (x explainCmd) print(e *explained) error {
	if x.JSON {
		return printJSON(e)
	}
	p := printer()
	p.Explanation(e.Explanation)
	if e.Live != nil {
		p.Live(e.Live)
	}
	return nil
}

// printer writes to standard output.
func printer() show.Printer {
	return show.Printer{Out: os.Stdout, Colour: isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == ""}
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// exit is an error that decides the exit status. Without an error in it, all has been
// said.
type exit struct {
	status int
	err    error
}

func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
