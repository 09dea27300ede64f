package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// failure is an error for people that still answers errors.Is and errors.As for
// what it stands for.
type failure struct {
	text   string
	causes []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.causes }

// fail makes a failure with the given sentinels and causes.
func fail(text string, causes ...error) error {
	return &failure{text: text, causes: causes}
}

// Reasons for closing a connection that nobody gets to see.
var (
	errEnded     = errors.New("connection ended")
	errIdle      = errors.New("connection unused for too long")
	errStale     = errors.New("connection closed by the origin while unused")
	errAbandoned = errors.New("answer abandoned")
)

// errClosed is what a body reads after Close.
var errClosed = errors.New("read after the body was closed")

// given up tells that the exchange was cancelled.
func givenUp(cause error) error {
	return fmt.Errorf("request given up: %w", cause)
}

// system strips what the net package puts around an error of the system, since
// the message names the address already.
func system(err error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &dns):
		return dns.Err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	}
	return err.Error()
}

// dialError says why there is no connection, and what to do.
func (p *Pool) dialError(err error) error {
	text := "connect to " + p.name + ": " + system(err)
	unix := p.cfg.Network == "unix"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		text = fmt.Sprintf("connect to %s: no answer within %v", p.name, p.cfg.DialTimeout)
		if !unix {
			text += "; is the app's container on a network that Portway is on too?"
		}
	case unix && errors.Is(err, syscall.ENOENT):
		text += "; does the app run, and is the socket's directory mounted into Portway's container?"
	case unix && errors.Is(err, syscall.EACCES):
		text += "; the socket must be writable for Portway's user"
	case errors.Is(err, syscall.ECONNREFUSED) && !unix:
		text += "; does the app listen on that port, on 0.0.0.0 and not only on 127.0.0.1?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		text += "; is the app's container on a network that Portway is on too?"
	}
	return fail(text, ErrDial, err)
}

// tlsError says why the handshake failed.
func (p *Pool) tlsError(err error) error {
	const before = "connect by TLS to "
	var (
		record    tls.RecordHeaderError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		alert     *net.OpError
		text      string
	)
	switch {
	case errors.As(err, &record):
		text = "it does not speak TLS on that port; set portway.scheme: http"
	case errors.As(err, &host):
		text = "its certificate is for another name: " + host.Error() + "; say which one is right by portway.origin-tls.server-name"
	case errors.As(err, &authority):
		text = "its certificate is not signed by an authority that Portway trusts"
		if c := authority.Cert; c != nil && c.CheckSignatureFrom(c) == nil || c != nil && c.Issuer.String() == c.Subject.String() {
			text = "its certificate is self-signed, so nothing vouches for it"
		}
		text += "; trust its authority, or speak to it without TLS (portway.scheme: http)"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		text = fmt.Sprintf("its certificate is valid only from %s to %s",
			invalid.Cert.NotBefore.Format(time.DateOnly), invalid.Cert.NotAfter.Format(time.DateOnly))
	case errors.As(err, &alert) && alert.Op == "remote error": // an alert
		text = "it refused the handshake: " + alert.Err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		text = fmt.Sprintf("no handshake within %v; does it speak TLS on that port?", p.cfg.DialTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		text = "it closed the connection during the handshake; does it speak TLS on that port?"
	default:
		text = system(err)
	}
	return fail(before+p.name+": "+text, ErrDial, err)
}

// greetError says why HTTP/2 could not begin.
func (p *Pool) greetError(err error) error {
	const doubt = "; does it speak HTTP/2 on that port? If not, set portway.scheme: http"
	text := system(err) + doubt
	switch {
	case strings.Contains(err.Error(), "looked like an HTTP/1.1 header"):
		text = "it answered in HTTP/1.1; set portway.scheme: http"
	case errors.Is(err, context.DeadlineExceeded):
		text = fmt.Sprintf("no answer within %v", p.cfg.DialTimeout) + doubt
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		text = "it closed the connection at once" + doubt
	}
	return fail("connect by HTTP/2 to "+p.name+": "+text, ErrDial, err)
}

// timeoutError says what took too long.
func (p *Pool) timeoutError(recv, send phase) error {
	switch {
	case recv == awaitHead && send == writing:
		return fail(fmt.Sprintf("%s took nothing of the request's body for %v", p.name, p.cfg.Idle), ErrTimeout)
	case recv == awaitHead:
		return fail(fmt.Sprintf("%s sent no answer within %v", p.name, p.cfg.FirstByte), ErrTimeout)
	}
	return fail(fmt.Sprintf("%s went silent for %v in the middle of its answer", p.name, p.cfg.Idle),
		ErrTimeout, io.ErrUnexpectedEOF)
}
