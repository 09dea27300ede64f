package route

import "strings"

// agentClass is what kind of program sent a request, by its User-Agent field.
// Whoever wants to be taken for another kind is.
type agentClass uint8

const (
	notClassed agentClass = iota
	agentOther            // nothing that is known, or no User-Agent at all
	agentBot
	agentTool
	agentMobile
	agentDesktop
)

// agentClasses are the classes by the words that labels have for them.
var agentClasses = map[string]agentClass{
	"bot": agentBot, "tool": agentTool, "mobile": agentMobile, "desktop": agentDesktop,
}

// botWords are anywhere in the names of crawlers, previewers and monitors, in
// lower case. Many others give an address where they are explained.
var botWords = []string{
	"bot", "crawl", "spider", "slurp", "facebookexternalhit", "mediapartners", "feedfetcher", "ia_archiver",
	"headlesschrome", "lighthouse", "pingdom", "bingpreview", "+http://", "+https://",
}

// toolWords are what programs for the command line and libraries begin with.
var toolWords = []string{
	"curl/", "wget/", "httpie/", "xh/", "python-requests/", "python-urllib/", "python-httpx/", "python/", "aiohttp/", "go-http-client/",
	"okhttp/", "java/", "apache-httpclient/", "libwww-perl/", "lwp::simple/", "ruby", "php/", "guzzlehttp/", "node-fetch", "node",
	"undici", "axios/", "got ", "postmanruntime/", "insomnia/", "k6/", "hey/", "oha/", "apachebench/", "powershell/", "reqwest/", "dart/",
}

// mobileWords are in the names of browsers on telephones and tablets.
var mobileWords = []string{"mobi", "android", "iphone", "ipad", "ipod"}

// browserWords are what browsers begin with, all of them by now with the first.
var browserWords = []string{"mozilla/", "opera/"}

// classify puts an agent into a class. Bots come first, since many claim to be a
// telephone or a desktop as well.
func classify(agent []byte) agentClass {
	switch {
	case hasWord(agent, botWords) && !hasWord(agent, []string{"cubot"}): // which makes telephones
		return agentBot
	case beginsWith(agent, toolWords):
		return agentTool
	case !beginsWith(agent, browserWords):
		return agentOther
	case hasWord(agent, mobileWords):
		return agentMobile
	}
	return agentDesktop
}

func beginsWith(b []byte, words []string) bool {
	for _, w := range words {
		if foldPrefix(b, w) {
			return true
		}
	}
	return false
}

// hasWord tells whether any of words, which are in lower case, is in b, in
// whatever case.
func hasWord(b []byte, words []string) bool {
	for i := range b {
		c := lower(b[i])
		for _, w := range words {
			if c == w[0] && foldPrefix(b[i:], w) {
				return true
			}
		}
	}
	return false
}

// foldPrefix tells whether b begins with s, which is in lower case.
func foldPrefix(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range len(s) {
		if lower(b[i]) != s[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// class is that of the client's program.
func (l *look) class() agentClass {
	if l.agent == notClassed {
		l.agent = classify(l.field("user-agent"))
	}
	return l.agent
}

// agentWords lists the words of agentClasses for messages.
var agentWords = strings.Fields("bot mobile desktop tool")
