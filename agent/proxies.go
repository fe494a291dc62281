package agent

import (
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

// ProxyConfig configures the proxy, except for its addresses. The zero value requires no password
// and connects to the mesh only.
type ProxyConfig struct {
	AuthFile  string // USER:PASSWORD lines; empty: no password is required
	AllowOpen bool   // let other hosts reach the proxy without a password
	Direct    bool   // also connect to addresses outside the mesh, through the host's network

	MaxConns, MaxPerClient, MaxHandshakes, MaxAssociations int // 0: the proxy's defaults
}

// unixPrefix marks a proxy address that is a Unix socket.
const unixPrefix = "unix:"

// CheckProxies checks the addresses at which the proxy is to listen.
func CheckProxies(listen []string, cfg ProxyConfig) error {
	for _, l := range listen {
		if l == "off" {
			if len(listen) > 1 {
				return mesh.Errorf(mesh.Invalid, "--proxy-listen=off cannot be combined with other --proxy-listen addresses")
			}
			return nil
		}
		if path, ok := unixPath(l); ok {
			if path == "" || len(path) > unixsock.MaxPath {
				return mesh.Errorf(mesh.Invalid, "--proxy-listen=%s: the path of a Unix socket must have 1 to %d bytes", l, unixsock.MaxPath)
			}
			continue
		}
		ap, err := netip.ParseAddrPort(strings.Replace(l, "localhost:", "127.0.0.1:", 1))
		if err != nil {
			return mesh.Errorf(mesh.Invalid, "--proxy-listen=%s must be ADDRESS:PORT, unix:PATH or off", l)
		}
		if !ap.Addr().Unmap().IsLoopback() && cfg.AuthFile == "" && !cfg.AllowOpen {
			return mesh.Errorf(mesh.Invalid, "--proxy-listen=%s would open the mesh to everybody who can reach that address; use a loopback address, "+
				"require passwords with --proxy-auth-file=FILE, or allow it with --proxy-allow-open", l)
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

// newProxy makes the proxy; its listeners are open already.
func (a *agent) newProxy() (*proxy.Proxy, error) {
	pc := a.cfg.Proxy
	a.direct.Store(pc.Direct)
	d := &proxyDialer{node: a.node, direct: &a.direct, host: new(net.Dialer).DialContext, lookup: net.DefaultResolver.LookupNetIP}
	cfg := proxy.Config{
		Dial: d.dial, ListenPacket: d.listenPacket, Resolve: d.addresses, Reach: a.reach, Logger: a.log.With("room", "proxy"),
		MaxConns: pc.MaxConns, MaxPerClient: pc.MaxPerClient, MaxHandshakes: pc.MaxHandshakes, MaxAssociations: pc.MaxAssociations,
		Budget: a.cfg.Budget,
	}
	if pc.AuthFile != "" {
		if err := a.loadUsers(); err != nil {
			return nil, err
		}
		cfg.Auth = func(user, password string) bool { return a.users.Load().Check(user, password) }
	}
	return proxy.New(cfg)
}

// loadUsers reads the users of the proxy. An invalid file changes nothing.
func (a *agent) loadUsers() error {
	users, err := ReadProxyUsers(a.cfg.Proxy.AuthFile)
	if err == nil {
		a.users.Store(users)
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

// reach returns what the auto-configuration file says about the mesh.
func (a *agent) reach() proxy.Reach {
	r := proxy.Reach{Everything: a.direct.Load(), Suffixes: []string{mesh.NodeDomain}, Except: a.node.Servers()}
	v := a.node.View()
	if v.Empty() {
		return r
	}
	r.Prefixes = v.Routed()
	for _, p := range slices.Concat([]mesh.Node{v.Self}, v.Peers) {
		r.Names = append(r.Names, p.Name)
	}
	return r
}
