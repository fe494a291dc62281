package envproxy

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"nexd/internal/hostport"
)

// Func chooses the proxy of a request, as http.Transport.Proxy does: nil is none.
type Func = func(*http.Request) (*url.URL, error)

// Not returns from without the proxies that listen at own: a request for which from chooses
// one of them goes out without a proxy, and passedBy is called with what from chose. own
// returns ADDRESS:PORT of each listener now, and may return other texts, which match nothing.
// own is called only while from chooses a proxy of this host.
func Not(own func() []string, from Func, passedBy func(*url.URL)) Func {
	return func(r *http.Request) (*url.URL, error) {
		u, err := from(r)
		if u == nil || err != nil || !onThisHost(u.Hostname()) || !listens(u, own()) {
			return u, err
		}
		passedBy(u)
		return nil, nil
	}
}

// onThisHost reports whether host is an address of this host, or a name that stands for one.
func onThisHost(host string) bool {
	a, ok := hostport.Literal(host)
	if !ok {
		return loopbackName(host) || ownName(host)
	}
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	addrs, _ := net.InterfaceAddrs()
	for _, i := range addrs {
		if p, err := netip.ParsePrefix(i.String()); err == nil && p.Addr().Unmap().WithZone("") == a {
			return true
		}
	}
	return false
}

func loopbackName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func ownName(host string) bool {
	name, err := os.Hostname()
	return err == nil && name != "" && strings.EqualFold(strings.TrimSuffix(host, "."), name)
}

// listens reports whether one of the listeners takes connections to u, which is on this host.
func listens(u *url.URL, listeners []string) bool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		if port == "" {
			port = "1080" // of SOCKS, as net/http has it
		}
	}
	host, literal := hostport.Literal(u.Hostname())
	for _, l := range listeners {
		at, err := netip.ParseAddrPort(l)
		if err != nil || strconv.Itoa(int(at.Port())) != port {
			continue
		}
		a := at.Addr().Unmap().WithZone("")
		switch {
		case a.IsUnspecified(), literal && (a == host || host.IsUnspecified() && a.IsLoopback()):
			return true
		case !literal && (a.IsLoopback() || ownName(u.Hostname())):
			return true
		}
	}
	return false
}
