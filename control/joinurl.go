package control

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"nexd/mesh"
)

// JoinURL is the URL of a service, with or without its pin. Its text form is
// https://HOST[:PORT][/PATH][#pin=PIN].
type JoinURL struct {
	Scheme string // "https" or "http"
	Host   string // host or host:port; IPv6 in brackets
	Path   string // without a trailing slash; empty for none
	Pin    Pin    // zero: verify against the system's roots
}

// ParseJoinURL reads a join URL. It refuses a URL without a scheme, or with a user, a query or
// an unknown fragment.
func ParseJoinURL(s string) (JoinURL, error) {
	bad := func(why string) (JoinURL, error) {
		return JoinURL{}, mesh.Errorf(mesh.Invalid, "control: service URL %q %s; a service URL looks like https://HOST:8443/#pin=…", clip(s), why)
	}
	u, err := url.Parse(s)
	if err != nil {
		return bad("is not a URL")
	}
	switch {
	case u.Scheme == "" || !strings.Contains(s, "://"):
		return bad("has no scheme")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("is neither https nor http")
	case u.User != nil:
		return bad("contains a user name or password")
	case u.RawQuery != "" || u.ForceQuery:
		return bad("contains a query")
	case u.Hostname() == "":
		return bad("has no host")
	case !goodHost(u):
		return bad("has an invalid host or port")
	case u.RawPath != "" || strings.ContainsAny(u.Path, " \\") || strings.Contains(u.Path+"/", "/../") || strings.Contains(u.Path+"/", "/./"):
		return bad("has an unusual path")
	}
	j := JoinURL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: strings.TrimRight(u.Path, "/")}
	if u.Fragment != "" {
		pin, ok := strings.CutPrefix(u.Fragment, "pin=")
		if !ok {
			return bad("has a fragment other than #pin=…")
		}
		if j.Scheme == "http" {
			return bad("has a pin, but plain HTTP has no certificate to compare it with")
		}
		if j.Pin, err = ParsePin(pin); err != nil {
			return JoinURL{}, err
		}
	}
	return j, nil
}

func goodHost(u *url.URL) bool {
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != p {
			return false
		}
	}
	host := u.Hostname()
	if strings.Contains(host, ":") { // only an IPv6 address may
		a, err := netip.ParseAddr(host)
		return err == nil && a.Is6() && a.Zone() == ""
	}
	for _, r := range host {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
		if !ok {
			return false
		}
	}
	return true
}

// WithKey combines the pins of the URL and of a registration key. Two different pins are an
// error, because one of them belongs to another service.
func (j JoinURL) WithKey(k RegKey) (JoinURL, error) {
	switch {
	case k.Pin.IsZero():
		return j, nil
	case j.Scheme == "http":
		return j, nil // nothing to compare; the caller asked for plain HTTP
	case j.Pin.IsZero():
		j.Pin = k.Pin
	case !j.Pin.Equal(k.Pin):
		return JoinURL{}, mesh.Errorf(mesh.Invalid, "control: the registration key has pin %v, but the URL %v has another pin; use a key and a URL of the same service", k.Pin, j)
	}
	return j, nil
}

// Base is the URL without pin or trailing slash. Paths of calls are appended to it, and
// messages show it.
func (j JoinURL) Base() string { return j.Scheme + "://" + j.Host + j.Path }

// HostPort is the host with its port, 443 or 80 if the URL names none.
func (j JoinURL) HostPort() string {
	u := url.URL{Host: j.Host}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[j.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// String is the form that ParseJoinURL reads.
func (j JoinURL) String() string {
	s := (&url.URL{Scheme: j.Scheme, Host: j.Host, Path: j.Path + "/"}).String()
	if !j.Pin.IsZero() {
		s += "#pin=" + j.Pin.String()
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (j JoinURL) MarshalText() ([]byte, error) { return []byte(j.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (j *JoinURL) UnmarshalText(text []byte) (err error) {
	*j, err = ParseJoinURL(string(text))
	return err
}
