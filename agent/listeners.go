package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"nexd/internal/accept"
	"nexd/internal/envproxy"
	"nexd/internal/unixsock"
	"nexd/mesh"
)

// listeners are the open listeners of the proxy.
type listeners struct {
	mu  sync.Mutex
	all []proxyListener
}

// proxyListener is an open listener and how it was asked for.
type proxyListener struct {
	net.Listener
	asked string
}

func (l *listeners) now() []proxyListener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func (l *listeners) set(all []proxyListener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = all
}

// wantedProxies returns the addresses at which the proxy must listen.
func wantedProxies(listen []string) []string {
	switch {
	case len(listen) == 0:
		return []string{DefaultProxy}
	case listen[0] == "off":
		return nil
	}
	return listen
}

// notItself is the environment's choice of a proxy, but never one of these listeners: they serve
// nobody until the node has reached its service.
func notItself(own *listeners, log *slog.Logger) envproxy.Func {
	once := new(sync.Once)
	return envproxy.Not(own.addrs, http.ProxyFromEnvironment, func(u *url.URL) {
		once.Do(func() {
			log.Info("the environment's HTTPS proxy is this node itself; the service is reached without it", "proxy", u.Redacted())
		})
	})
}

// listenProxies opens every listener of the proxy, or none.
func (a *agent) listenProxies() error {
	if err := CheckProxies(a.cfg.ProxyListen, a.cfg.Proxy); err != nil {
		return mesh.Errorf(mesh.Invalid, "agent: %w", err)
	}
	var open []proxyListener
	for _, asked := range wantedProxies(a.cfg.ProxyListen) {
		ln, err := a.listenProxy(asked)
		if err != nil {
			for _, l := range open {
				l.Close()
			}
			return err
		}
		open = append(open, proxyListener{ln, asked})
	}
	a.proxies.set(open)
	return nil
}

// moveProxies changes the addresses at which the proxy listens. Connections through a listener that
// closes stay open. If the proxy cannot listen at a new address, it logs that and keeps its old
// listeners.
func (a *agent) moveProxies(ctx context.Context, listen []string, g *errgroup.Group) {
	if err := CheckProxies(listen, a.cfg.Proxy); err != nil { // whether it requires passwords does not change
		a.log.Error("the proxy keeps its old listeners", "err", err)
		return
	}
	wanted := wantedProxies(listen)
	var open, leaving, closed []proxyListener
	for _, l := range a.proxies.now() {
		switch {
		case slices.Contains(wanted, l.asked):
			open = append(open, l)
		case portWanted(l.asked, wanted):
			l.Close()
			closed = append(closed, l)
		default: // close it last: another program may take a port that is given up
			leaving = append(leaving, l)
		}
	}
	add := func(asked string) bool {
		if slices.ContainsFunc(open, func(l proxyListener) bool { return l.asked == asked }) {
			return true
		}
		ln, err := a.listenProxy(asked)
		if err != nil {
			a.log.Error("the proxy cannot listen", "err", err)
			return false
		}
		a.log.Info("the proxy listens", "addr", ln.Addr())
		open = append(open, proxyListener{ln, asked})
		g.Go(func() error { return a.proxy.Serve(ctx, ln) })
		return true
	}
	failed := false
	for _, asked := range wanted {
		failed = !add(asked) || failed
	}
	if failed {
		open = append(open, leaving...)
	} else {
		for _, l := range leaving {
			l.Close()
		}
		closed = append(closed, leaving...)
	}
	for _, l := range closed {
		if !failed || !add(l.asked) {
			a.log.Info("the proxy no longer listens", "addr", l.Addr())
		}
	}
	a.proxies.set(open)
}

// portWanted reports whether one of the wanted addresses has the same port, such as [::]:1080 and
// 127.0.0.1:1080.
func portWanted(asked string, wanted []string) bool {
	_, port, err := net.SplitHostPort(asked)
	return err == nil && slices.ContainsFunc(wanted, func(w string) bool {
		_, other, err := net.SplitHostPort(w)
		return err == nil && other == port
	})
}

// listenProxy opens one listener, and logs a warning if other hosts can reach it.
func (a *agent) listenProxy(asked string) (net.Listener, error) {
	if path, ok := unixPath(asked); ok {
		ln, err := unixsock.Listen(path)
		if err != nil {
			return nil, mesh.Errorf(mesh.KindOf(err), "agent: the proxy cannot listen on %s (%w); choose another --proxy-listen=unix:PATH", asked, err)
		}
		return ln, nil
	}
	network := "tcp"
	if ap, err := netip.ParseAddrPort(asked); err == nil && ap.Addr().Is4() {
		network = "tcp4" // else 0.0.0.0 means IPv6 too
	}
	ln, err := accept.Claim(func() (net.Listener, error) { return proxyListenConfig().Listen(context.Background(), network, asked) })
	if err != nil {
		return nil, mesh.Errorf(mesh.Conflict, "agent: the proxy cannot listen on %s (%w); choose another --proxy-listen=ADDR:PORT, or use off", asked, errno(err))
	}
	if t, ok := ln.Addr().(*net.TCPAddr); ok && !t.IP.IsLoopback() {
		a.warnOpen(ln.Addr())
	}
	return ln, nil
}

func (a *agent) warnOpen(addr net.Addr) {
	if a.cfg.Proxy.AuthFile == "" {
		a.log.Warn("the proxy is open to other hosts without passwords: everybody who reaches it can use the mesh as this node", "addr", addr)
		return
	}
	a.log.Warn("the proxy is open to other hosts: passwords and traffic between client and proxy are not encrypted", "addr", addr)
}

// errno returns the system call's error inside an error of package net.
func errno(err error) error {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err
	}
	return err
}

// addrs are the addresses of the listeners, as --proxy-listen names them.
func (l *listeners) addrs() (out []string) {
	for _, ln := range l.now() {
		a := ln.Addr().String()
		if ln.Addr().Network() == "unix" {
			a = unixPrefix + a
		}
		out = append(out, a)
	}
	return out
}
