package doctor

import "time"

// Certificate is how one stands that a running Portway is to have.
type Certificate struct {
	Name      string
	Valid     bool
	LastError string // with what to do; empty: there is none
	NextTry   *time.Time
}

// Certificates tells about names that lack one, with what was found about their DNS, CAA
// records and ports before it was ordered, or what the CA said.
func Certificates(all []Certificate) (report Report) {
	for _, x := range all {
		if x.LastError == "" {
			continue
		}
		f := Finding{Status: Bad, About: "certificate of " + x.Name, What: x.LastError, Why: "browsers do not get in"}
		if x.Valid {
			f.Status, f.Why = Warning, "it cannot be renewed"
		}
		if x.NextTry != nil {
			f.Fix = "the next try is at " + x.NextTry.Format(time.RFC3339) + ", or now: portway certs renew " + x.Name
		}
		report = append(report, f)
	}
	return report
}
