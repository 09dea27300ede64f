package route

import (
	"slices"
	"strings"
)

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

// words are in lower case, by how they begin, in either case.
type words [256][]string

func newWords(all ...string) *words {
	w := &words{}
	for _, word := range all {
		for _, first := range []byte(word[:1] + strings.ToUpper(word[:1])) {
			if !slices.Contains(w[first], word) {
				w[first] = append(w[first], word)
			}
		}
	}
	return w
}

// botWords are anywhere in the names of crawlers, previewers and monitors. Many
// others give an address where they are explained.
var botWords = newWords(
	"bot", "crawl", "spider", "slurp", "facebookexternalhit", "mediapartners", "feedfetcher", "ia_archiver",
	"headlesschrome", "lighthouse", "pingdom", "bingpreview", "+http://", "+https://",
)

// notBotWords are in the names of telephones.
var notBotWords = newWords("cubot")

// toolWords are what programs for the command line and libraries begin with.
var toolWords = newWords(
	"curl/", "wget/", "httpie/", "xh/", "python-requests/", "python-urllib/", "python-httpx/", "python/", "aiohttp/", "go-http-client/",
	"okhttp/", "java/", "apache-httpclient/", "libwww-perl/", "lwp::simple/", "ruby", "php/", "guzzlehttp/", "node-fetch", "node",
	"undici", "axios/", "got ", "postmanruntime/", "insomnia/", "k6/", "hey/", "oha/", "apachebench/", "powershell/", "reqwest/", "dart/",
)

// mobileWords are in the names of browsers on telephones and tablets.
var mobileWords = newWords("mobi", "android", "iphone", "ipad", "ipod")

// browserWords are what browsers begin with, all of them by now with the first.
var browserWords = newWords("mozilla/", "opera/")

// classify puts an agent into a class. Bots come first, since many claim to be a
// telephone or a desktop as well.
func classify(agent []byte) agentClass {
	switch {
	case botWords.in(agent) && !notBotWords.in(agent):
		return agentBot
	case toolWords.begin(agent):
		return agentTool
	case !browserWords.begin(agent):
		return agentOther
	case mobileWords.in(agent):
		return agentMobile
	}
	return agentDesktop
}

// begin tells whether b begins with one of the words, in whatever case.
func (w *words) begin(b []byte) bool {
	if len(b) > 0 {
		for _, word := range w[b[0]] {
			if foldPrefix(b, word) {
				return true
			}
		}
	}
	return false
}

// in tells whether one of the words is anywhere in b.
func (w *words) in(b []byte) bool {
	for i := range b {
		if w.begin(b[i:]) {
			return true
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
