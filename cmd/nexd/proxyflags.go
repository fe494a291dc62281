package main

import (
	"nexd/agent"
	"nexd/internal/program"
)

// proxyFlags are the flags of the proxy, except for its listening addresses.
type proxyFlags struct {
	ProxyAuthFile        string `help:"Require a user name and password from proxy clients; the file has lines of USER:PASSWORD." placeholder:"FILE" group:"join"`
	ProxyAllowOpen       bool   `help:"Allow the proxy to listen without passwords on addresses that other hosts can reach." group:"join"`
	ProxyOutside         string `help:"Targets outside the mesh: refuse them, or connect to them directly through this host's network (default: refuse)." placeholder:"refuse|direct" group:"join"`
	ProxyMaxConns        int    `help:"Maximum proxy connections (default: 16384)." placeholder:"N" group:"join"`
	ProxyMaxPerClient    int    `help:"Maximum proxy connections per client address (default: 4096; unlimited for this host)." placeholder:"N" group:"join"`
	ProxyMaxHandshakes   int    `help:"Maximum proxy clients in the handshake phase (default: 2048)." placeholder:"N" group:"join"`
	ProxyMaxAssociations int    `help:"Maximum SOCKS5 UDP associations (default: 1024)." placeholder:"N" group:"join"`
}

// proxyConfig checks these flags together with the listening addresses.
func (c *cli) proxyConfig() (cfg agent.ProxyConfig, err error) {
	switch c.ProxyOutside {
	case "", "refuse":
	case "direct":
		cfg.Direct = true
	default:
		return cfg, program.Usagef("--proxy-outside=%s must be refuse or direct", c.ProxyOutside)
	}
	cfg.AuthFile, cfg.AllowOpen = c.ProxyAuthFile, c.ProxyAllowOpen
	for _, n := range []struct {
		flag string
		from int
		to   *int
	}{
		{"proxy-max-conns", c.ProxyMaxConns, &cfg.MaxConns},
		{"proxy-max-per-client", c.ProxyMaxPerClient, &cfg.MaxPerClient},
		{"proxy-max-handshakes", c.ProxyMaxHandshakes, &cfg.MaxHandshakes},
		{"proxy-max-associations", c.ProxyMaxAssociations, &cfg.MaxAssociations},
	} {
		if n.from < 0 {
			return cfg, program.Usagef("--%s=%d must be at least 1", n.flag, n.from)
		}
		*n.to = n.from
	}
	if err := agent.CheckProxies(c.ProxyListen, cfg); err != nil {
		return cfg, program.UsageError{Err: err}
	}
	if cfg.AuthFile != "" {
		if _, err := agent.ReadProxyUsers(cfg.AuthFile); err != nil {
			return cfg, program.UsageError{Err: err}
		}
	}
	return cfg, nil
}
