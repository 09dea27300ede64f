package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"portway/label"
	"portway/proxy/balance"
	"portway/proxy/exchange"
	"portway/proxy/origintls"
	"portway/proxy/upstream"
	"portway/route"
)

// balanceCases are the cases in testdata/balance. Each has
//
//	a comment: the reason why it is there
//	labels: as in a compose file
//	script: what happens, a line each; see play
//	want: what comes out of the script, or the problems of the labels
func balanceCases(t *testing.T) map[string]*txtar.Archive {
	t.Helper()
	files, err := filepath.Glob("testdata/balance/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	all := make(map[string]*txtar.Archive)
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = a
	}
	return all
}

func fileOf(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func balanceLabels(t *testing.T, a *txtar.Archive) label.Values {
	t.Helper()
	var all map[string]string
	if err := yaml.Unmarshal([]byte(fileOf(a, "labels")), &all); err != nil {
		t.Fatal(err)
	}
	values := make(label.Values)
	for key, value := range all {
		values[strings.TrimPrefix(key, label.Prefix)] = value
	}
	return values
}

func parseBalance(values label.Values) (*balance.Options, []label.Problem) {
	o := &balance.Options{}
	return o, label.Parse("test", func(o string) string { return label.Key("", o) }, values, o)
}

func TestBalanceGolden(t *testing.T) {
	t.Parallel()
	for file, a := range balanceCases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			if strings.TrimSpace(string(a.Comment)) == "" {
				t.Error("the case does not say why it is there")
			}
			var out strings.Builder
			o, problems := parseBalance(balanceLabels(t, a))
			for _, p := range problems {
				fmt.Fprintln(&out, p)
			}
			if len(problems) == 0 {
				synctest.Test(t, func(t *testing.T) { play(t, o, fileOf(a, "script"), &out) })
			}
			got := out.String()
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
			switch {
			case i < 0:
				t.Error("the case has no file want")
			case *update:
				a.Files[i].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			case string(a.Files[i].Data) != got:
				t.Errorf("got:\n%swant:\n%s", got, a.Files[i].Data)
			}
		})
	}
}

// Every option of balancing must be shown to work by a case.
func TestEveryBalanceOptionHasAGolden(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	for _, a := range balanceCases(t) {
		values := balanceLabels(t, a)
		if _, problems := parseBalance(values); len(problems) > 0 {
			continue
		}
		for option := range maps.Keys(values) {
			used[option] = true
		}
	}
	for _, o := range label.Describe(&balance.Options{}).Options() {
		if !used[o.Name] {
			t.Errorf("%s is in no golden case that works", o.Name)
		}
	}
}

// stage is a route whose replicas are fakes, and what was seen.
type stage struct {
	*fakes
	options *balance.Options

	mu      sync.Mutex
	does    map[string]string           // by replica: what it does, see behave
	asked   map[string]int              // since it was shown last
	cookies string                      // what origins see of them
	limits  map[string]balance.Timeouts // that pools were made with
	held    []*exchange.Exchange
	done    chan string // by those that are asked later
}

// play performs a script on a route with the replicas one, two and three.
//
//	ready one two       these are the replicas from now on
//	one: refuse         what a replica does from now on: see behave
//	GET Name: value     a request, perhaps with fields (";;" between them); ":client ADDRESS" is who sends it
//	hold GET            a request that stays in flight
//	later GET           a request that may have to wait; the next line comes when it is answered or waits
//	release             the first one held ends
//	40x GET             many of them; tells how many each replica got
//	some 40x GET        many of them; tells only which replicas were asked at all
//	wait 10s            time passes
//	timeouts one        what connections to a replica are made with
//
// COOKIE in a request stands for the cookie that was set last.
func play(t *testing.T, o *balance.Options, script string, out *strings.Builder) {
	s := &stage{fakes: newFakes(t), options: o, does: map[string]string{}, asked: map[string]int{}, done: make(chan string, 100)}
	fake := s.replicas.dial
	s.limits = map[string]balance.Timeouts{}
	s.replicas.dial = func(u route.Upstream, l balance.Timeouts, secure origintls.Options) transport {
		s.limits[u.Address] = l
		return fake(u, l, secure)
	}
	s.ready("one", "two", "three")
	cookie := ""
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		command, rest, _ := strings.Cut(line, " ")
		var times int
		some := command == "some"
		if some {
			command, rest, _ = strings.Cut(rest, " ")
		}
		n, many := strings.CutSuffix(command, "x")
		if many {
			times, _ = strconv.Atoi(n)
		}
		switch {
		case line == "":
			continue
		case command == "ready":
			s.ready(strings.Fields(rest)...)
		case command == "timeouts":
			l := s.limits[rest]
			line += fmt.Sprintf(" → dial %v, first byte %v, idle %v", l.Dial, l.FirstByte, l.Idle)
		case command == "wait":
			d, err := time.ParseDuration(rest)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
		case strings.HasSuffix(command, ":"):
			s.mu.Lock()
			s.does[strings.TrimSuffix(command, ":")] = rest
			s.mu.Unlock()
		case command == "release":
			s.held[0].Finish(0, nil)
			s.held = s.held[1:]
		case command == "hold":
			ex := s.send(rest)
			s.held = append(s.held, ex)
			line += " → " + s.answer(ex)
		case command == "later":
			go func() {
				ex := s.send(rest)
				s.done <- "   " + rest + " → " + s.answer(ex)
				ex.Finish(0, nil)
			}()
		case many:
			s.asked = map[string]int{}
			answers := map[string]int{}
			for range times {
				ex := s.send(rest)
				answers[s.answer(ex)]++
				ex.Finish(0, nil)
			}
			line += " →"
			for _, who := range slices.Sorted(maps.Keys(answers)) {
				if some {
					line += " " + who
				} else {
					line += fmt.Sprintf(" %s %d", who, answers[who])
				}
			}
		default:
			text := strings.ReplaceAll(line, "COOKIE", cookie)
			s.asked = map[string]int{}
			ex := s.send(text)
			line += " → " + s.answer(ex)
			if set := string(ex.Response.Fields.Get("set-cookie")); set != "" {
				cookie, _, _ = strings.Cut(set, ";")
				line += ", Set-Cookie: " + set
			}
			if s.cookies != "" {
				line += ", saw " + s.cookies
			}
			if after := string(ex.Response.Fields.Get("retry-after")); after != "" {
				line += ", Retry-After " + after
			}
			ex.Finish(0, nil)
		}
		fmt.Fprintln(out, line)
		synctest.Wait()
		for more := true; more; {
			select {
			case text := <-s.done:
				fmt.Fprintln(out, text)
			default:
				more = false
			}
		}
	}
	for _, ex := range s.held {
		ex.Finish(0, nil)
	}
}

func (s *stage) ready(names ...string) {
	r := at("a.test", names...)
	r.Middleware = []label.Binder{s.options}
	for _, n := range names {
		if s.pools[n] == nil {
			s.pools[n] = &fakePool{address: n, serve: func(ex *exchange.Exchange) error { return s.behave(n, ex) }}
		}
	}
	s.SetTable(route.NewTable([]*route.Route{r}, nil))
}

// behave is what a replica does: ok; refuse; break; timeout; a status; or "slow 1s".
func (s *stage) behave(name string, ex *exchange.Exchange) error {
	s.mu.Lock()
	s.asked[name]++
	does := s.does[name]
	s.cookies = string(ex.Request.Fields.Get("cookie"))
	s.mu.Unlock()
	ex.Response.Status = 200
	how, more, _ := strings.Cut(does, " ")
	switch how {
	case "", "ok":
	case "refuse":
		return dialErr("refused")
	case "break":
		return errors.New("reset")
	case "timeout":
		return fmt.Errorf("%w: no answer", upstream.ErrTimeout)
	case "slow":
		d, _ := time.ParseDuration(more)
		time.Sleep(d)
	default:
		ex.Response.Status, _ = strconv.Atoi(how)
	}
	ex.Response.Fields.AddString("X-From", name)
	return nil
}

func (s *stage) send(text string) *exchange.Exchange {
	lines := strings.Split(text, ";;")
	method, first, _ := strings.Cut(lines[0], " ")
	lines[0] = first
	ex := exchange.Get()
	ex.Start = time.Now()
	ex.Conn = &exchange.Conn{Protocol: exchange.HTTP11, Remote: netip.MustParseAddrPort("192.0.2.1:99")}
	ex.Request.Method, ex.Request.Authority, ex.Request.Path = []byte(method), []byte("a.test"), []byte("/")
	for _, l := range lines {
		name, value, _ := strings.Cut(strings.TrimSpace(l), ": ")
		client, isClient := strings.CutPrefix(name, ":client ")
		switch {
		case name == "":
		case isClient:
			ex.Conn.Remote = netip.AddrPortFrom(netip.MustParseAddr(client), 99)
		default:
			ex.Request.Fields.AddString(name, value)
		}
	}
	s.serve(ex)
	return ex
}

func (s *stage) answer(ex *exchange.Exchange) string {
	who := string(ex.Response.Fields.Get("x-from"))
	if ex.Response.Status != 200 {
		who = strings.TrimSpace(fmt.Sprintf("%s %d", who, ex.Response.Status))
	}
	return who
}
