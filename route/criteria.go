package route

import (
	"regexp"
	"slices"
	"strings"

	"portway/label"
)

// Range of the option priority.
const maxPriority = 1_000_000

// match binds the options that say which requests are meant besides those for
// a host and a path.
func (o *Options) match(s *label.Set) {
	m := &o.Match
	list(s, m, &m.methods, "match.method", "Only these methods.", parseMethod, label.Example("GET, HEAD"))
	m.line(s, "match.header", "Only requests with these header fields: `Name`, `Name: value` or `Name: ~pattern`, one a line; `!` in front for those without.",
		named{inHeader, ":", checkField, true}, label.Example("X-Beta: yes"))
	m.line(s, "match.query", "Only requests with these parameters in the query: `name`, `name=value` or `name=~pattern`, one a line; `!` in front for those without.",
		named{inQuery, "=", checkParameter, false}, label.Example("version=2"))
	m.line(s, "match.cookie", "Only requests with these cookies: `name`, `name=value` or `name=~pattern`, one a line; `!` in front for those without.",
		named{inCookies, "=", checkCookie, false}, label.Example("beta=yes"))
	list(s, m, &m.agents, "match.agent", "Only these kinds of programs, by User-Agent: `bot`, `mobile`, `desktop`, `tool`, or `~pattern`.",
		parseAgent, label.Example("bot, tool"))
	list(s, m, &m.clients, "match.client", "Only clients with these addresses. Addresses, ranges, or `private` for all that are not public.",
		parseClient, label.Example("192.168.0.0/16, !192.168.0.1"))
	list(s, m, &m.countries, "match.country", "Only clients in these countries (ISO 3166, two letters). Needs the setting `geoip`.",
		parseCountry, label.Example("DE, AT, CH"))
	list(s, m, &m.continents, "match.continent", "Only clients on these continents: `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`. Needs the setting `geoip`.",
		parseContinent, label.Example("EU"))
	for _, option := range []string{"match.country", "match.continent"} {
		s.Check(option, func() error {
			if o.places {
				return nil
			}
			return &label.Error{
				Why: "cannot be told, since Portway has no database of countries",
				Fix: "give Portway one by the setting geoip, for example PORTWAY_GEOIP=/data/country.mmdb",
			}
		})
	}
	s.Int(&o.Priority, "priority", 0, "Which route a request gets that several of a host fit: that with the highest number, before all other rules.",
		label.Range(-maxPriority, maxPriority), label.Example("10"))
}

var methods = strings.Fields("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE QUERY PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH")

func parseMethod(item string) (string, error) {
	if !isToken(item) {
		return "", &label.Error{Why: label.Quote(item) + " is no method", Fix: "write for example GET"}
	}
	if upper := strings.ToUpper(item); item != upper && slices.Contains(methods, upper) {
		return "", &label.Error{Why: label.Quote(item) + " is another method than " + upper + ", since case counts", Fix: "write " + upper}
	}
	return item, nil
}

// typed are fields that never are among those of a request: they are about the
// connection, or have options of their own.
var typed = map[string]string{
	"host": "use the option host", "cookie": "use the option match.cookie",
	"connection": "", "content-length": "", "transfer-encoding": "", "te": "", "trailer": "", "upgrade": "", "expect": "",
	"keep-alive": "", "proxy-connection": "",
}

func checkField(name string) error {
	if !isToken(name) {
		return &label.Error{Why: label.Quote(name) + " is no name of a field", Fix: "write for example X-Beta: yes"}
	}
	fix, ours := typed[strings.ToLower(name)]
	switch {
	case fix != "":
		return &label.Error{Why: label.Quote(name) + " cannot be looked at here", Fix: fix}
	case ours:
		return &label.Error{Why: label.Quote(name) + " is about the connection, not about the request", Fix: "remove it"}
	}
	return nil
}

func checkCookie(name string) error {
	if !isToken(name) {
		return &label.Error{Why: label.Quote(name) + " is no name of a cookie", Fix: "write for example beta=yes"}
	}
	return nil
}

func checkParameter(name string) error {
	if name == "" {
		return &label.Error{Why: "has a line without a name", Fix: "write for example version=2"}
	}
	return nil
}

func parseAgent(item string) (a agent, err error) {
	if pattern, ok := strings.CutPrefix(item, "~"); ok {
		a.pattern, err = label.Pattern(pattern)
		return a, err
	}
	class, ok := agentClasses[item]
	if !ok {
		fix := "write bot, mobile, desktop, tool, or ~ and a regular expression"
		if near := label.Nearest(item, agentWords); near != "" {
			fix = "did you mean " + near + "?"
		}
		return a, &label.Error{Why: label.Quote(item) + " is no kind of program", Fix: fix}
	}
	return agent{class: class}, nil
}

func parseClient(item string) (r label.Ranges, err error) {
	err = r.Add(item)
	return r, err
}

const continents = "AF AN AS EU NA OC SA"

func parseContinent(item string) (string, error) {
	code := strings.ToUpper(item)
	if !isCode(code, continents) {
		return "", &label.Error{Why: label.Quote(item) + " is no continent", Fix: "write one of " + strings.ReplaceAll(continents, " ", ", ")}
	}
	return code, nil
}

// countries are the codes of ISO 3166-1 alpha-2, and XK for Kosovo, which databases
// have too.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"

func parseCountry(item string) (string, error) {
	code := strings.ToUpper(item)
	if isCode(code, countries) {
		return code, nil
	}
	fix := "write the two letters of ISO 3166, for example DE"
	switch code {
	case "UK":
		fix = "write GB"
	case "EU":
		fix = "use the option match.continent"
	}
	return "", &label.Error{Why: label.Quote(item) + " is no country", Fix: fix}
}

func isCode(code, all string) bool {
	return len(code) == 2 && code[0] != ' ' && code[1] != ' ' && strings.Contains(all, code)
}

// hostPattern marks a host that is a pattern, as no name begins.
const hostPattern = "~"

// compileHostPattern compiles what follows hostPattern. Names have no case.
func compileHostPattern(text string) (*regexp.Regexp, error) {
	if _, err := label.Pattern(text); err != nil {
		return nil, err
	}
	return label.Pattern("(?i)" + text)
}
