package admin

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector gives what the Server knows as metrics, beside those that package
// proxy/metrics counts. How many there are is bounded by what is served.
func (s *Server) Collector() prometheus.Collector { return collector{s} }

type collector struct{ *Server }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("portway_"+name, help, labels, nil)
}

var (
	descInfo     = desc("build_info", "Always 1; the labels tell what runs.", "version", "goversion")
	descHealthy  = desc("healthy", "1 if health checks pass, 0 before the first table and while shutting down.")
	descRoutes   = desc("routes", "Routes that are served.")
	descSources  = desc("sources", "Containers and static files that were seen, by whether all that they ask for is served.", "kind", "served")
	descProblems = desc("problems", "Things that are wrong now; portway ps tells which.")
	descChanges  = desc("table_changes_total", "Tables that discovery has made.")

	descReplica  = desc("upstream_ready", "1 if the replica gets requests, 0 if not.", "route", "upstream")
	descReplicas = desc("upstream_requests_in_flight", "Requests that the replica is answering.", "route", "upstream")

	descExpiry  = desc("certificate_not_after_timestamp_seconds", "When the certificate that is served expires.", "name", "issuer")
	descValid   = desc("certificate_valid", "1 if there is a certificate for the name that has not expired.", "name")
	descRefused = desc("certificate_failed_attempts", "Failed tries for a certificate in a row.", "name")

	descCache = desc("cache_requests_total", "Requests of routes with a cache, by what became of them.", "route", "result")
)

// Describe tells what there is.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descInfo, descHealthy, descRoutes, descSources, descProblems, descChanges, descReplica, descReplicas, descExpiry, descValid, descRefused, descCache,
	} {
		ch <- d
	}
}

// Collect gives all samples.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	st := c.Status()
	gauge(descInfo, 1, st.Version, runtime.Version())
	gauge(descHealthy, truth(st.Healthy))
	gauge(descRoutes, float64(len(st.Routes)))
	gauge(descProblems, float64(len(st.Problems)))
	ch <- prometheus.MustNewConstMetric(descChanges, prometheus.CounterValue, float64(c.tables.Load()))
	seen := map[[2]string]int{}
	for _, x := range c.Sources() {
		served := "false"
		if x.Served {
			served = "true"
		}
		seen[[2]string{x.Kind, served}]++
	}
	for k, n := range seen {
		gauge(descSources, float64(n), k[0], k[1])
	}
	c.collectRoutes(ch, st.Routes)
	for _, x := range st.Certificates {
		valid := x.NotAfter != nil && time.Now().Before(*x.NotAfter)
		gauge(descValid, truth(valid), x.Name)
		gauge(descRefused, float64(x.Attempts), x.Name)
		if x.NotAfter != nil {
			gauge(descExpiry, float64(x.NotAfter.Unix()), x.Name, x.Issuer)
		}
	}
}

// collectRoutes adds up routes of one name, as two static files may have them: they
// cannot be told apart, and a sample that is there twice would cost all others.
func (c collector) collectRoutes(ch chan<- prometheus.Metric, routes []Route) {
	given := map[[2]string]bool{}
	cached := map[[2]string]uint64{}
	for _, r := range routes {
		for _, u := range r.Upstreams {
			if key := [2]string{r.Name, u.Name}; !given[key] {
				given[key] = true
				ready := truth(u.State == "ready" && u.LeftOut == "")
				ch <- prometheus.MustNewConstMetric(descReplica, prometheus.GaugeValue, ready, r.Name, u.Name)
				ch <- prometheus.MustNewConstMetric(descReplicas, prometheus.GaugeValue, float64(u.InFlight), r.Name, u.Name)
			}
		}
		if r.Cache == nil {
			continue
		}
		for result, n := range map[string]uint64{
			"hit": r.Cache.Hits, "stale": r.Cache.Stale, "validated": r.Cache.Validated, "collapsed": r.Cache.Collapsed,
			"miss": r.Cache.Misses, "bypass": r.Cache.Bypassed,
		} {
			cached[[2]string{r.Name, result}] += n
		}
	}
	for key, n := range cached {
		ch <- prometheus.MustNewConstMetric(descCache, prometheus.CounterValue, float64(n), key[0], key[1])
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
