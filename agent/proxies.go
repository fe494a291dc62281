package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"nexd/internal/unixsock"
	"nexd/mesh"
	"nexd/proxy"
)

// ProxyConfig is what the proxy is told besides where it listens. The zero value
// serves whoever reaches it and connects to the mesh only.
type ProxyConfig struct {
	AuthFile  string // USER:PASSWORD lines; empty: nobody is asked
	AllowOpen bool   // listen beyond this host without asking anybody
	Direct    bool   // connect to what is outside the mesh by the host's network, too

	MaxConns, MaxPerClient, MaxHandshakes, MaxAssociations int // 0: the proxy's defaults
}

// unixPrefix is what a proxy listener that is a Unix socket begins with.
const unixPrefix = "unix:"

// CheckProxies says what is wrong with where the proxy is to listen.
func CheckProxies(listen []string, cfg ProxyConfig) error {
	for _, l := range listen {
		if l == "off" {
			if len(listen) > 1 {
				return mesh.Errorf(mesh.Invalid, "--proxy-listen=off excludes other --proxy-listen addresses")
			}
			return nil
		}
		if path, ok := unixPath(l); ok {
			if path == "" || len(path) > unixsock.MaxPath {
				return mesh.Errorf(mesh.Invalid, "--proxy-listen=%s: a socket's path has 1 to %d bytes", l, unixsock.MaxPath)
			}
			continue
		}
		ap, err := netip.ParseAddrPort(strings.Replace(l, "localhost:", "127.0.0.1:", 1))
		if err != nil {
			return mesh.Errorf(mesh.Invalid, "--proxy-listen=%s is not ADDRESS:PORT, unix:PATH or off", l)
		}
		if !ap.Addr().Unmap().IsLoopback() && cfg.AuthFile == "" && !cfg.AllowOpen {
			return mesh.Errorf(mesh.Invalid, "--proxy-listen=%s would let everybody who reaches that address use the mesh; listen on a loopback address, "+
				"ask for passwords with --proxy-auth-file=FILE, or mean it with --proxy-allow-open", l)
		}
	}
	return nil
}

func unixPath(listen string) (string, bool) {
	if strings.HasPrefix(listen, "/") {
		return listen, true
	}
	return strings.CutPrefix(listen, unixPrefix)
}

// listenProxies opens every listener of the proxy, or none.
func (n *node) listenProxies() error {
	addrs := n.cfg.ProxyListen
	if len(addrs) == 0 {
		addrs = []string{DefaultProxy}
	}
	if err := CheckProxies(addrs, n.cfg.Proxy); err != nil {
		return mesh.Errorf(mesh.Invalid, "agent: %w", err)
	}
	for _, a := range addrs {
		if a == "off" {
			continue
		}
		ln, err := listenProxy(a)
		if err != nil {
			return err
		}
		n.proxies = append(n.proxies, ln)
		if t, ok := ln.Addr().(*net.TCPAddr); ok && !t.IP.IsLoopback() {
			n.warnOpen(ln.Addr())
		}
	}
	return nil
}

func (n *node) warnOpen(a net.Addr) {
	if n.cfg.Proxy.AuthFile == "" {
		n.log.Warn("the proxy listens beyond this host and asks nobody for a password: whoever reaches it uses the mesh as this node", "addr", a)
		return
	}
	n.log.Warn("the proxy listens beyond this host: passwords and traffic between client and proxy are not encrypted", "addr", a)
}

func listenProxy(a string) (net.Listener, error) {
	if path, ok := unixPath(a); ok {
		ln, err := unixsock.Listen(path)
		if err != nil {
			return nil, mesh.Errorf(mesh.KindOf(err), "agent: the proxy cannot listen on %s (%w); choose another --proxy-listen=unix:PATH", a, err)
		}
		return ln, nil
	}
	ln, err := proxyListenConfig().Listen(context.Background(), "tcp", a)
	if err != nil {
		return nil, mesh.Errorf(mesh.Conflict, "agent: the proxy cannot listen on %s (%w); choose another --proxy-listen=ADDR:PORT, or off", a, errno(err))
	}
	return ln, nil
}

// errno is the system's own word in an error of package net.
func errno(err error) error {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err
	}
	return err
}

func (n *node) proxyAddrs() (out []string) {
	for _, ln := range n.proxies {
		a := ln.Addr().String()
		if ln.Addr().Network() == "unix" {
			a = unixPrefix + a
		}
		out = append(out, a)
	}
	return out
}

// newProxy makes the proxy; its listeners are open already.
func (n *node) newProxy() (err error) {
	pc := n.cfg.Proxy
	d := &proxyDialer{dialer: n.dialer, direct: pc.Direct, lookup: net.DefaultResolver.LookupNetIP}
	cfg := proxy.Config{
		Dial: d.dial, ListenPacket: n.listenPacket(d), Resolve: d.addresses, Reach: n.reach, Logger: n.log.With("room", "proxy"),
		MaxConns: pc.MaxConns, MaxPerClient: pc.MaxPerClient, MaxHandshakes: pc.MaxHandshakes, MaxAssociations: pc.MaxAssociations,
	}
	if pc.AuthFile != "" {
		if err := n.loadUsers(); err != nil {
			return err
		}
		cfg.Auth = func(user, password string) bool { return n.users.Load().Check(user, password) }
	}
	n.proxy, err = proxy.New(cfg)
	return err
}

// loadUsers reads who may use the proxy; a file with a fault changes nothing.
func (n *node) loadUsers() error {
	users, err := ReadProxyUsers(n.cfg.Proxy.AuthFile)
	if err == nil {
		n.users.Store(users)
	}
	return err
}

// ReadProxyUsers reads a --proxy-auth-file.
func ReadProxyUsers(path string) (*proxy.Users, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("agent: --proxy-auth-file: %w", err)
	}
	defer f.Close()
	users, err := proxy.ReadUsers(f)
	if err != nil {
		return nil, mesh.Errorf(mesh.KindOf(err), "agent: --proxy-auth-file=%s: %w", path, err)
	}
	return users, nil
}

// reach is what the auto-configuration file says of the mesh.
func (n *node) reach() proxy.Reach {
	r := proxy.Reach{Everything: n.cfg.Proxy.Direct, Suffixes: []string{mesh.NodeDomain}}
	v := n.view.Load()
	if v == nil {
		return r
	}
	r.Prefixes = v.routed()
	for _, p := range slices.Concat([]mesh.Node{v.Self}, v.Peers) {
		r.Names = append(r.Names, p.Name)
	}
	return r
}
