package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"portway/proxy/accesslog"
)

const description = `Portway gives every container with a portway.host label its own HTTPS address. To try it:

	docker run -d -p 80:80 -p 443:443 -v /var/run/docker.sock:/var/run/docker.sock:ro -v portway:/data portway
	docker run -d --label portway.host=app.localhost my-app

Every flag of "portway run" is also an environment variable (--acme-staging is PORTWAY_ACME_STAGING) and a key of
the settings file (acme-staging: true). A flag goes before the environment, the environment before the file.`

// cli declares the commands and, once for flags, environment and file, every
// setting. docs/settings.md is generated from it. A setting marked live takes
// effect at SIGHUP, see reloader.
type cli struct {
	Config  string `group:"process" placeholder:"FILE" help:"Settings file (YAML). Without it, /etc/portway/portway.yaml is read if it exists."`
	Control string `group:"process" placeholder:"PATH" default:"${control}" help:"Unix socket through which the other commands reach the running Portway; off for none. Default: ${control_doc}."`
	User    string `group:"process" placeholder:"UID[:GID]" default:"${user}" help:"Give up root for this user once the ports are open. Only when started as root. Default: ${user_doc}."`

	Run         runCmd         `cmd:"" default:"withargs" help:"Serve (the default command)."`
	Explain     explainCmd     `cmd:"" help:"Tell which way a request goes, or why a container is served or not: exit status 0 if it is, 1 if not, 2 if nobody can tell."`
	Lint        lintCmd        `cmd:"" help:"Look for mistakes in compose files, without an engine: exit status 0 if there are none, 1 if there are, 2 if nothing could be looked at."`
	Doctor      doctorCmd      `cmd:"" help:"Look at this machine for what keeps Portway from working: exit status 0 if nothing does, 1 if something does, 2 if the settings cannot be used."`
	Ps          psCmd          `cmd:"" help:"List the containers and static files that Portway sees, served or not."`
	Routes      routesCmd      `cmd:"" help:"List what is served."`
	Logs        logsCmd        `cmd:"" help:"Show the log of the running Portway."`
	Certs       certsCmd       `cmd:"" help:"Look after the certificates of the running Portway: list, show, renew, revoke, export, import."`
	Dashboard   dashboardCmd   `cmd:"" help:"Print a link that signs you in to the dashboard of the running Portway."`
	Cache       cacheCmd       `cmd:"" help:"Drop what the cache of the running Portway has stored."`
	ECH         echCmd         `cmd:"" name:"ech" help:"Print what belongs into the DNS for Encrypted ClientHello, and change the key."`
	Trust       trustCmd       `cmd:"" help:"Show the internal CA's root certificate and how to trust it."`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask the running Portway whether it serves: exit status 0 or 1."`
	Completion  completionCmd  `cmd:"" help:"Print a script that completes commands and flags in a shell."`
	Man         manCmd         `cmd:"" help:"Print the manual page."`
	Version     versionCmd     `cmd:"" help:"Show the version."`
}

// runCmd holds the settings of "portway run".
type runCmd struct {
	HTTP              addresses `name:"http" group:"listen" placeholder:"ADDRESS,..." default:":80" help:"Where plain HTTP is served (redirects to HTTPS, ACME challenges); off for none. Default: :80."`
	HTTPS             addresses `name:"https" group:"listen" placeholder:"ADDRESS,..." default:":443" help:"Where HTTPS is served; off for none. Default: :443."`
	HTTP3             bool      `name:"http3" group:"listen" default:"true" help:"Serve HTTP/3 at the UDP ports of --https too, and tell clients so. Default: true."`
	HTTPSPort         port      `name:"https-port" group:"listen" placeholder:"PORT" help:"Port at which clients reach HTTPS, for redirects and Alt-Svc, where a port mapping or load balancer changes it. Default: that of the first --https address."`
	ProxyProtocolFrom []ipRange `group:"listen" placeholder:"CIDR" help:"Load balancers in front of Portway that begin each TCP connection with a header of the PROXY protocol (version 1 or 2), which is believed: addresses, ranges, or the word private. Default: none."`
	TrustedProxies    []ipRange `live:"" group:"listen" placeholder:"CIDR" help:"Proxies in front of Portway whose X-Forwarded-* and Forwarded fields are believed: addresses, ranges, or the word private for all private ranges. Default: none."`
	Drain             duration  `group:"listen" placeholder:"DURATION" default:"30s" help:"How long requests in flight may take to finish after SIGTERM. Default: 30s."`

	Docker     string `group:"sources" placeholder:"URL" help:"Docker or Podman engine: unix:///path, tcp://host:port, or off. Default: DOCKER_HOST, or else unix:///var/run/docker.sock."`
	DockerCA   string `name:"docker-ca" group:"sources" placeholder:"FILE" help:"CA of a TLS-secured engine (PEM)."`
	DockerCert string `group:"sources" placeholder:"FILE" help:"Client certificate for a TLS-secured engine (PEM)."`
	DockerKey  string `group:"sources" placeholder:"FILE" help:"Key of that client certificate (PEM)."`
	Routes     string `group:"sources" placeholder:"FOLDER" help:"Folder of static route files (*.yaml). Without it, /etc/portway/routes is read if it exists."`
	GeoIP      string `name:"geoip" group:"sources" placeholder:"FILE" help:"Database of countries in the MMDB format (MaxMind, DB-IP), for routes with match.country or match.continent. Default: none."`

	Default     routeOptions `group:"sources" placeholder:"OPTION=VALUE" help:"Option for all routes that do not say otherwise, such as compress=true; as a label, without portway. Give the flag several times, a line each in the variable, a list in the file. Default: none."`
	DefaultHost hostRule     `group:"sources" placeholder:"HOST" help:"Host of containers that have labels for Portway and name no host, for example {service}.example.com; also {project} and {container}. Default: none."`
	Constraint  []string     `group:"sources" placeholder:"LABEL" help:"Serve only containers with this Docker label: key=value, key, !key or !key=value; all must hold. Default: all containers."`

	CacheMemory size   `group:"cache" placeholder:"SIZE" default:"64MiB" help:"How much memory stored answers of all routes with the label portway.cache may take together; contents on their way may take half as much again. Default: 64MiB."`
	CacheDisk   size   `group:"cache" placeholder:"SIZE" help:"How much of a disk stored answers may take, so that they outlast a restart and large ones need no memory; at least 4MiB. Default: none."`
	CacheFolder string `group:"cache" placeholder:"FOLDER" help:"Where they are; for one Portway alone, on a local disk. Default: cache in the folder of --storage."`

	PurgeToken secret `group:"cache" placeholder:"TOKEN" help:"Whoever sends this token may drop stored answers by POST to https://ANY-HOST/.well-known/portway/purge; at least 16 characters, or file:/PATH or env:NAME of where it is. Default: none, nobody may."`

	Storage       string     `group:"certs" placeholder:"FOLDER" default:"${storage}" help:"Where certificates and keys are kept. Default: ${storage_doc}."`
	Certificates  string     `group:"certs" placeholder:"FOLDER" help:"Folder of certificates of your own (PEM, or PKCS#12 by the names *.p12 and *.pfx; watched). They go before those of any CA. Without it, /etc/portway/certificates is read if it exists."`
	CertPassword  password   `name:"certificates-password" group:"certs" placeholder:"PASSWORD" help:"Password of the PKCS#12 files in there, or file:/PATH or env:NAME of where it is. Those without one need none. Default: none."`
	Email         string     `group:"certs" placeholder:"ADDRESS" help:"Contact address for the CA."`
	CA            []string   `name:"ca" group:"certs" placeholder:"NAME,..." help:"Who issues certificates for public names: letsencrypt, letsencrypt-staging, zerossl, google, internal, one that --ca-option defines, or the URL of an ACME directory. The next is asked while the one before cannot. Default: letsencrypt, and with --email then zerossl."`
	CAOption      caOptions  `name:"ca-option" group:"certs" placeholder:"NAME.OPTION=VALUE" help:"What Portway has to know about a CA: directory (URL), roots (file), eab-kid and eab-key (of the account there; file:PATH and env:NAME keep the key out of here), profile, chain (names of issuers, the first found is preferred). Give the flag several times, a line each in the variable, a list in the file. Default: none."`
	KeyType       string     `group:"certs" placeholder:"TYPE" enum:"ec256,ec384,rsa2048,rsa4096" default:"ec256" help:"Kind of the keys of certificates for public names: ec256, ec384, rsa2048 or rsa4096. Default: ec256."`
	ReuseKeys     bool       `group:"certs" help:"Renewed certificates have the key of the one before, for those who pin keys (TLSA records)."`
	ACMEDirectory string     `name:"acme-directory" group:"certs" placeholder:"URL" help:"ACME directory of the CA. Default: Let's Encrypt."`
	ACMEStaging   bool       `name:"acme-staging" group:"certs" help:"Use Let's Encrypt's staging CA, to try things out without its rate limits. Browsers do not trust its certificates."`
	ACMERoots     string     `name:"acme-roots" group:"certs" placeholder:"FILE" help:"Roots to trust when speaking to the ACME directory (PEM). Default: the system's."`
	ACMELimits    limits     `name:"acme-limits" group:"certs" placeholder:"LIMIT,..." help:"What the CA allows, where it has not published it and Portway so does not know: orders=300/3h, certificates=50/7d (per registered domain), duplicates=5/7d (of the same name), failures=5/1h (per name). Orders that would break a limit wait. Those of Let's Encrypt are known. Default: no limits."`
	Preflight     string     `group:"certs" placeholder:"WHEN" enum:"auto,on,off" default:"auto" help:"Look before the first order of a name whether its DNS leads here and allows the CA, whether port 80 or 443 reaches this process, and whether the clock is right; what is certain to fail is not ordered. auto: with public CAs; on: with any; off: never. Default: auto."`
	Import        string     `group:"certs" placeholder:"PATH" help:"Take certificates and accounts over from another proxy at the start, where there is nothing newer: Traefik's acme.json, Caddy's data folder, or the folder of certificates of nginx-proxy's acme-companion. Default: none."`
	DNSProvider   []string   `name:"dns-provider" group:"certs" placeholder:"NAME" help:"Provider of the DNS zones of public names, by which they are certified without any port being reachable, and wildcards can be (the DNS-01 challenge). Its access data are environment variables of its own, see docs/dns-providers.md. ZONE=NAME is for one zone only. Default: none."`
	DNSResolvers  []string   `name:"dns-resolvers" group:"certs" placeholder:"ADDRESS" help:"DNS servers by which zones and their servers are found for that, and that --preflight asks. Default: the system's."`
	DNSCheck      string     `name:"dns-propagation-check" group:"certs" placeholder:"WHERE" enum:"authoritative,resolvers,none" default:"authoritative" help:"Where a record for the CA must be seen before the CA looks: authoritative (at all servers of the zone that answer), resolvers (those of --dns-resolvers) or none. Default: authoritative."`
	DNSTimeout    duration   `name:"dns-propagation-timeout" group:"certs" placeholder:"DURATION" help:"How long it may take until it is seen. Default: what the provider says, mostly 1m."`
	DNSDelay      duration   `name:"dns-propagation-delay" group:"certs" placeholder:"DURATION" help:"What is waited in addition. Default: nothing."`
	InternalCA    bool       `name:"internal-ca" group:"certs" help:"Take every certificate from the internal CA, those for public names too."`
	ECH           publicName `name:"ech" group:"certs" placeholder:"HOST" default:"off" help:"Offer Encrypted ClientHello, by which browsers hide from the network which host they visit; HOST is the public name that the network sees instead, for which Portway gets a certificate. What belongs into the DNS, portway ech tells. Default: off."`

	Admin      addresses `group:"admin" placeholder:"ADDRESS,..." default:"off" help:"Where the control API is served over TCP too, for whoever has the admin token, for example 127.0.0.1:9080; plain HTTP, so keep it on a network that you trust, or behind a route of its own. Default: off."`
	OwnerPages bool      `name:"owner-pages" group:"admin" default:"true" help:"Error pages tell clients on this machine itself (loopback, and not through a tunnel or another proxy) why, and what to type to learn more; the same do browsers learn that followed a link of the dashboard to that host. Nobody else is told. Default: true."`
	AdminToken secret    `group:"admin" placeholder:"TOKEN" help:"Token that --admin asks for, as Authorization: Bearer TOKEN; at least 16 characters, or file:/PATH or env:NAME of where it is. Default: none."`

	Dashboard       addresses    `group:"admin" placeholder:"ADDRESS,..." default:"off" help:"Where the dashboard is served over plain HTTP, for example 127.0.0.1:8420. Who wants to see it signs in: the log has a password at the first start, and portway dashboard prints a link. Default: off."`
	DashboardHost   []string     `group:"admin" placeholder:"HOST,..." help:"Host that the dashboard is served at by HTTPS, beside all others, as a route with a certificate of its own, for example portway.example.com. Default: none."`
	DashboardOption routeOptions `group:"admin" placeholder:"OPTION=VALUE" help:"Option of that route, such as ip.allow=private; as a label, without portway. Give the flag several times, a line each in the variable, a list in the file. Default: none."`

	Metrics         metricsAt `group:"watch" placeholder:"ADDRESS,..." default:"control" help:"Where metrics for Prometheus are served, at /metrics, to whoever can connect: they tell names of routes and hosts. The control socket has them too; with the word control only that one; with off nothing is counted. Default: control."`
	AccessLog       string    `group:"watch" placeholder:"FILE" help:"File that gets a line for each request, or stdout or stderr. SIGUSR1 opens it anew. Default: none."`
	AccessLogFormat string    `group:"watch" placeholder:"FORMAT" enum:"json,logfmt,common,combined" default:"json" help:"How its lines look: json, logfmt, common or combined. Default: json."`
	AccessLogFields []string  `group:"watch" placeholder:"FIELD,..." help:"What lines of json and logfmt have: ${access_fields}, and header:Name for fields of requests. Default: ${access_default}."`
	AccessLogSample share     `group:"watch" placeholder:"PERCENT" default:"100%" help:"Share of the requests that get a line; those answered with 500 and above all do. Default: 100%."`
	AccessLogRedact []string  `group:"watch" placeholder:"NAME,..." help:"Parameters of queries and header fields whose values are not written, besides those that look like secrets (token, password, Authorization, Cookie and the like). Default: none."`
	AccessLogRotate size      `group:"watch" placeholder:"SIZE" default:"100MiB" help:"Size at which the file is put aside, as FILE.1. Default: 100MiB."`
	AccessLogKeep   int       `group:"watch" placeholder:"NUMBER" default:"5" help:"How many files are kept aside. Default: 5."`
	Traces          string    `group:"watch" placeholder:"URL" help:"Collector that gets traces by OTLP over HTTP, such as http://collector:4318. OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_HEADERS are heeded. Default: none."`
	TraceSample     share     `group:"watch" placeholder:"PERCENT" default:"1%" help:"Share of the requests that are recorded, where trace-parent has not decided that already. Default: 1%."`
	TraceParent     string    `group:"watch" placeholder:"WHOSE" enum:"trusted,all,none" default:"trusted" help:"Whose word counts in a traceparent (W3C) on whether a request is recorded: that of trusted-proxies, or of all clients, who can fill the collector then. Of others it names the trace only; with none not even that. Default: trusted."`

	LogLevel  string `live:"" group:"log" placeholder:"LEVEL" enum:"debug,info,warn,error" default:"info" help:"Least level to log: debug, info, warn or error. Default: info."`
	LogFormat string `group:"log" placeholder:"FORMAT" enum:"auto,text,json" default:"auto" help:"text, json, or auto: text on a terminal, else json. Default: auto."`
}

var groups = []kong.Group{
	{Key: "listen", Title: "Listening:"},
	{Key: "sources", Title: "Where routes come from:"},
	{Key: "cache", Title: "Cache:"},
	{Key: "certs", Title: "Certificates:"},
	{Key: "admin", Title: "Control API and dashboard:"},
	{Key: "watch", Title: "Metrics, access log, traces:"},
	{Key: "log", Title: "Log:"},
	{Key: "process", Title: "Process:"},
}

// Fixed places that are used where they exist and nothing else is said.
const (
	defaultConfig = "/etc/portway/portway.yaml"
	defaultRoutes = "/etc/portway/routes"
	defaultCerts  = "/etc/portway/certificates"
)

// imageDefaults is set to imageDefaultsValue by the Dockerfile. It changes defaults only,
// so that the settings file can still say otherwise; a PORTWAY_STORAGE set
// there would win over the file.
const (
	imageDefaults      = envPrefix + "DEFAULTS"
	imageDefaultsValue = "image"
)

// defaults are the defaults that depend on where Portway runs, each with the
// words that the docs use for it.
func defaults(env map[string]string) map[string]string {
	vars := map[string]string{
		"storage":     "/data",
		"storage_doc": "/data in the image, else $XDG_DATA_HOME/portway, or ~/.local/share/portway, or /var/lib/portway for root",
		"control":     "/run/portway/control.sock",
		"control_doc": "$XDG_RUNTIME_DIR/portway/control.sock, or /run/portway/control.sock in the image and for root",
		"user":        "65532:65532",
		"user_doc":    "65532:65532 in the image, else stay root",

		"access_fields":  strings.Join(accesslog.Fields(), ", "),
		"access_default": strings.Join(accesslog.Default(), ", "),
	}
	if env[imageDefaults] == imageDefaultsValue {
		return vars
	}
	vars["user"] = ""
	if data, home := env["XDG_DATA_HOME"], env["HOME"]; data != "" {
		vars["storage"] = filepath.Join(data, "portway")
	} else if home != "" && os.Geteuid() != 0 {
		vars["storage"] = filepath.Join(home, ".local", "share", "portway")
	} else {
		vars["storage"] = "/var/lib/portway"
	}
	if runtime := env["XDG_RUNTIME_DIR"]; runtime != "" {
		vars["control"] = filepath.Join(runtime, "portway", "control.sock")
	} else if os.Geteuid() != 0 {
		vars["control"] = filepath.Join(os.TempDir(), "portway-"+strconv.Itoa(os.Geteuid()), "control.sock")
	}
	return vars
}
