package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// baseline is the peer that ratios refer to.
const baseline = "nginx"

// results gathers measurements by scenario and peer.
type results struct {
	Date      string                       `json:"date"`
	Machine   string                       `json:"machine"`
	Rounds    int                          `json:"rounds"`
	Duration  string                       `json:"duration"`
	Peers     []peerResult                 `json:"peers"`
	Missing   []string                     `json:"missing,omitempty"`
	Scenarios []*scenarioResult            `json:"scenarios"`
	errors    map[string]map[string]string // scenario, peer
}

type peerResult struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	IdleRSS int64  `json:"idleRSS"`
	BusyRSS int64  `json:"busyRSS,omitempty"` // at most, up to the end of the first scenario
	PeakRSS int64  `json:"peakRSS"`
}

type scenarioResult struct {
	Name  string                  `json:"name"`
	Doc   string                  `json:"doc"`
	Unit  string                  `json:"unit"`
	Rate  string                  `json:"rate,omitempty"` // what is told per CPU second too
	Peers map[string]*peerFigures `json:"peers"`

	digits int
}

type peerFigures struct {
	Figures []float64 `json:"figures"` // one a round
	RPS     []float64 `json:"rps"`
	P99     []float64 `json:"p99ms"`
}

func newResults(peers []*peer, missing []string, o options) *results {
	r := &results{
		Date: time.Now().UTC().Format(time.DateOnly), Rounds: o.rounds, Duration: o.duration.String(), Missing: missing,
		Machine: fmt.Sprintf("%d cores, %s", runtime.NumCPU(), cpuModel()), errors: map[string]map[string]string{},
	}
	for _, p := range peers {
		r.Peers = append(r.Peers, peerResult{Name: p.name, Version: p.version, IdleRSS: p.idleRSS})
	}
	return r
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

func (r *results) at(s scenario) *scenarioResult {
	for _, x := range r.Scenarios {
		if x.Name == s.name {
			return x
		}
	}
	x := &scenarioResult{Name: s.name, Doc: s.doc, Unit: units[s.unit], Rate: s.rate, Peers: map[string]*peerFigures{}, digits: s.digits()}
	r.Scenarios = append(r.Scenarios, x)
	return x
}

func (r *results) add(s scenario, p *peer, m measurement) {
	x := r.at(s)
	f := x.Peers[p.name]
	if f == nil {
		f = &peerFigures{}
		x.Peers[p.name] = f
	}
	f.Figures = append(f.Figures, s.figure(m))
	f.RPS = append(f.RPS, float64(m.requests)/m.elapsed.Seconds())
	if m.p99 > 0 {
		f.P99 = append(f.P99, float64(m.p99.Microseconds())/1e3)
	}
}

func (r *results) fail(s scenario, p *peer, err error) {
	r.at(s)
	if r.errors[s.name] == nil {
		r.errors[s.name] = map[string]string{}
	}
	r.errors[s.name][p.name] = err.Error()
}

func (r *results) failures() []string {
	var all []string
	for s, byPeer := range r.errors {
		for p, err := range byPeer {
			all = append(all, s+" with "+p+": "+err)
		}
	}
	slices.Sort(all)
	return all
}

// peak notes the most memory that the peer has taken; busy says that all it has done
// was to serve 64 connections.
func (r *results) peak(p *peer, busy bool) {
	for i := range r.Peers {
		if r.Peers[i].Name == p.name {
			p.notePeak()
			r.Peers[i].PeakRSS = p.peakRSS
			if busy {
				r.Peers[i].BusyRSS = p.peakRSS
			}
		}
	}
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(x))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

// ratio is the median over rounds of the peer's figure to the baseline's.
func (s *scenarioResult) ratio(peer string, pick func(*peerFigures) []float64) float64 {
	a, b := s.Peers[peer], s.Peers[baseline]
	if a == nil || b == nil {
		return 0
	}
	x, y := pick(a), pick(b)
	var ratios []float64
	for i := range min(len(x), len(y)) {
		if y[i] > 0 {
			ratios = append(ratios, x[i]/y[i])
		}
	}
	return median(ratios)
}

func figuresOf(f *peerFigures) []float64 { return f.Figures }
func p99Of(f *peerFigures) []float64     { return f.P99 }

// markdown writes the tables for people.
func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Side by side, %s\n\n%s; %d interleaved rounds of %s; Linux, loopback, TLS 1.3 with AES-128-GCM.\n", r.Date, r.Machine, r.Rounds, r.Duration)
	b.WriteString("Median of the rounds (min–max); ratio is the median over rounds of the peer's figure to " + baseline + "'s. Less is better.\n\n")
	for _, s := range r.Scenarios {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n| | %s | ratio | requests/s | p99 ms | p99 ratio |\n|---|---|---|---|---|---|\n", s.Name, s.Doc, s.Unit)
		for _, p := range r.Peers {
			f := s.Peers[p.Name]
			if f == nil || len(f.Figures) == 0 {
				if why := r.errors[s.Name][p.Name]; why != "" {
					fmt.Fprintf(&b, "| %s | failed: %s | | | | |\n", p.Name, strings.ReplaceAll(firstLine(why), "|", "/"))
				}
				continue
			}
			fmt.Fprintf(&b, "| %s | %.*f (%.*f–%.*f) | %s | %.0f | %s | %s |\n", p.Name,
				s.digits, median(f.Figures), s.digits, slices.Min(f.Figures), s.digits, slices.Max(f.Figures),
				orDash(s.ratio(p.Name, figuresOf)), median(f.RPS), orDash(median(f.P99)), orDash(s.ratio(p.Name, p99Of)))
		}
		b.WriteString(s.perCPUSecond(r.Peers) + "\n")
	}
	b.WriteString("## Memory\n\n| | version | idle MiB | 64 busy connections MiB | peak of all MiB |\n|---|---|---|---|---|\n")
	for _, p := range r.Peers {
		busy := "–"
		if p.BusyRSS > 0 {
			busy = fmt.Sprintf("%.0f", float64(p.BusyRSS)/(1<<20))
		}
		fmt.Fprintf(&b, "| %s | %s | %.0f | %s | %.0f |\n", p.Name, p.Version, float64(p.IdleRSS)/(1<<20), busy, float64(p.PeakRSS)/(1<<20))
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "\nNot measured: %s\n", m)
	}
	return b.String()
}

// perCPUSecond tells how many of what Rate names one processor does in a second.
func (s *scenarioResult) perCPUSecond(peers []peerResult) string {
	var told []string
	for _, p := range peers {
		if f := s.Peers[p.Name]; s.Rate != "" && f != nil && len(f.Figures) > 0 {
			told = append(told, fmt.Sprintf("%s %.0f", p.Name, 1e6/median(f.Figures)))
		}
	}
	if told == nil {
		return ""
	}
	return fmt.Sprintf("\nPer CPU second, %s: %s.\n", s.Rate, strings.Join(told, ", "))
}

func orDash(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", x)
}

// write stores the tables, the raw figures and the chart next to each other.
func (r *results) write(base string) error {
	raw, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	for ext, content := range map[string][]byte{".json": raw, ".md": []byte(r.markdown()), ".svg": []byte(r.chart())} {
		if err := os.WriteFile(base+ext, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
