package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Port tries to listen at an address. ours is whether a running Portway is there, which
// then has its own ports.
func Port(ctx context.Context, network, address string, ours bool) Finding {
	about := network + " " + address
	var l net.ListenConfig
	var err error
	if network == "udp" {
		var c net.PacketConn
		if c, err = l.ListenPacket(ctx, network, address); err == nil {
			_ = c.Close()
		}
	} else {
		var c net.Listener
		if c, err = l.Listen(ctx, network, address); err == nil {
			_ = c.Close()
		}
	}
	const why = "Portway cannot serve there"
	switch {
	case err == nil:
		return Finding{Good, about, "can be opened", "", ""}
	case errors.Is(err, syscall.EADDRINUSE) && ours:
		return Finding{Good, about, "is in use, and Portway runs", "", ""}
	case errors.Is(err, syscall.EADDRINUSE):
		what, fix := "is in use", "see who it is: ss -tulpn"
		if who := holder(network, address); who != "" {
			what, fix = what+" by "+who, "stop that, or let Portway listen elsewhere (--http, --https)"
		}
		return Finding{Bad, about, what, why, fix}
	case errors.Is(err, syscall.EACCES):
		return Finding{Bad, about, "may not be opened by this user", why, "start as root (Portway gives it up), add the capability NET_BIND_SERVICE, or set net.ipv4.ip_unprivileged_port_start=0"}
	default:
		return Finding{Bad, about, "cannot be opened: " + err.Error(), why, "check the address"}
	}
}

// Storage looks at the folder of certificates and keys.
func Storage(folder string) Finding {
	const about = "storage"
	const why = "certificates are ordered anew at each start, until the CA refuses"
	bad := func(what, fix string) Finding { return Finding{Bad, about, folder + " " + what, why, fix} }
	info, err := os.Stat(folder)
	if errors.Is(err, os.ErrNotExist) {
		parent := filepath.Dir(folder)
		if unix.Access(parent, unix.W_OK) == nil {
			return Finding{Good, about, folder + " will be made at the first start", "", ""}
		}
		return bad("is not there, and cannot be made", "make it, or mount a volume there")
	}
	if err != nil {
		return bad("cannot be looked at: "+err.Error(), "give this user access")
	}
	if !info.IsDir() {
		return bad("is no folder", "set --storage to one")
	}
	f, err := os.CreateTemp(folder, ".doctor-*")
	if err != nil {
		fix := fmt.Sprintf("chown -R %d:%d %s", os.Geteuid(), os.Getegid(), folder)
		if errors.Is(err, syscall.EROFS) {
			fix = "mount it without :ro"
		}
		return bad(fmt.Sprintf("is not writable for user %d: %v", os.Geteuid(), errors.Unwrap(err)), fix)
	}
	_, err = f.WriteString("Portway looks whether this folder is writable.\n")
	err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	if err != nil {
		return bad("takes no files: "+err.Error(), "see whether its disk is full")
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return Finding{Warning, about, fmt.Sprintf("%s is open to every user (mode %04o)", folder, mode), "keys in it are what your sites are known by", "chmod 700 " + folder}
	}
	return Finding{Good, about, folder + " is writable", "", ""}
}

// OpenFiles looks at how many connections there can be.
func OpenFiles() Finding {
	const about, least = "open files", 8192
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Finding{Unknown, about, err.Error(), "", ""}
	}
	if limit.Max < least {
		return Finding{Warning, about, fmt.Sprintf("no more than %d", limit.Max), "each connection takes one or two; further ones are refused", "raise it, in compose by ulimits: {nofile: 65536}"}
	}
	return Finding{Good, about, fmt.Sprintf("up to %d", limit.Max), "", ""}
}

// udpBuffer is what HTTP/3 asks for.
const udpBuffer = 7 << 20

// UDPBuffer looks whether HTTP/3 gets the memory that it asks the kernel for.
func UDPBuffer() Finding {
	const about = "UDP buffers"
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Finding{Unknown, about, err.Error(), "", ""}
	}
	defer func() { _ = unix.Close(fd) }()
	var got [2]int
	for i, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, udpBuffer)
		if got[i], err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, option); err != nil {
			return Finding{Unknown, about, err.Error(), "", ""}
		}
		got[i] /= 2 // the kernel doubles it for its own use
	}
	return judgeUDP(got[0], got[1])
}

// judgeUDP says what there is to say about what can be received and sent at once.
func judgeUDP(receive, send int) Finding {
	const about = "UDP buffers"
	var short, set []string
	for _, x := range []struct {
		what, limit string
		got         int
	}{{"to receive", "net.core.rmem_max", receive}, {"to send", "net.core.wmem_max", send}} {
		if x.got < udpBuffer {
			short = append(short, fmt.Sprintf("%d KiB %s", x.got>>10, x.what))
			set = append(set, fmt.Sprintf("%s=%d", x.limit, udpBuffer))
		}
	}
	if short == nil {
		return Finding{Good, about, "as large as HTTP/3 asks for", "", ""}
	}
	return Finding{
		Warning, about, fmt.Sprintf("at most %s, HTTP/3 asks for %d", strings.Join(short, " and "), udpBuffer>>10), "large transfers by HTTP/3 are slower",
		"on the host: sysctl -w " + strings.Join(set, " "),
	}
}

// CA asks the directory of a CA for its time.
func CA(ctx context.Context, directory string, trust *tls.Config) Report {
	const limit, most = 10 * time.Second, 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	about := "CA " + directory
	bad := func(what string) Report {
		return Report{{Bad, about, what, "no certificate can be ordered or renewed", "check DNS, firewall and proxy of this machine: curl " + directory}}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, directory, nil)
	if err != nil {
		return bad(err.Error())
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: trust, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	resp, err := client.Do(request)
	if err != nil {
		return bad("cannot be reached: " + err.Error())
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return bad("answers " + resp.Status)
	}
	all := Report{{Good, about, "answers", "", ""}}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		all = append(all, clock(time.Since(at).Round(time.Second), most))
	}
	return all
}

// Clock is what findings about the time are about.
const Clock = "clock"

// clock looks at how far this machine is ahead of the CA.
func clock(ahead, most time.Duration) Finding {
	if ahead.Abs() <= most {
		return Finding{Good, Clock, "is right, as far as the CA tells", "", ""}
	}
	word := "ahead"
	if ahead < 0 {
		word = "behind"
	}
	return Finding{Bad, Clock, fmt.Sprintf("is %v %s of the CA's", ahead.Abs(), word), "certificates seem expired, or not valid yet", "let it be set by NTP (timedatectl set-ntp true)"}
}
