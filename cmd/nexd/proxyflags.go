package main

import (
	"nexd/agent"
	"nexd/internal/program"
)

// proxyFlags are the flags of the proxy besides where it listens.
type proxyFlags struct {
	ProxyAuthFile        string `help:"Ask clients of the proxy for a user and a password from this file: USER:PASSWORD lines." placeholder:"FILE" group:"join"`
	ProxyAllowOpen       bool   `help:"Let the proxy listen beyond this host without asking for passwords." group:"join"`
	ProxyOutside         string `help:"What the proxy does with what is outside the mesh: refuse, or direct, by this host's network (default: refuse)." placeholder:"refuse|direct" group:"join"`
	ProxyMaxConns        int    `help:"Connections of the proxy at a time (default: 16384)." placeholder:"N" group:"join"`
	ProxyMaxPerClient    int    `help:"The same of one client address (default: 4096, and any number from this host)." placeholder:"N" group:"join"`
	ProxyMaxHandshakes   int    `help:"Clients of the proxy that have not yet said what they want (default: 2048)." placeholder:"N" group:"join"`
	ProxyMaxAssociations int    `help:"SOCKS5 UDP associations at a time (default: 1024)." placeholder:"N" group:"join"`
}

// proxyConfig checks them, together with where the proxy listens.
func (c *cli) proxyConfig() (cfg agent.ProxyConfig, err error) {
	switch c.ProxyOutside {
	case "", "refuse":
	case "direct":
		cfg.Direct = true
	default:
		return cfg, program.Usagef("--proxy-outside=%s is neither refuse nor direct", c.ProxyOutside)
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
			return cfg, program.Usagef("--%s=%d is less than 1", n.flag, n.from)
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
