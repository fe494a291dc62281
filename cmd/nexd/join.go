package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"nexd/agent"
	"nexd/control"
	"nexd/forward/router"
	"nexd/internal/metrics"
	"nexd/internal/program"
	"nexd/ipam"
	"nexd/mesh"
	"nexd/node"
	"nexd/tunnel/candidates"
	"nexd/tunnel/gateway"
	"nexd/tunnel/tundev"
)

// Check implements program.Checker.
func (cmd *joinCmd) Check(c *cli) (err error) {
	cmd.cfg, err = c.config(routerCmd{ServiceURL: cmd.ServiceURL})
	return err
}

// Run joins and runs the node until ctx ends.
func (cmd *joinCmd) Run(ctx context.Context, c *cli) error { return c.runReloading(ctx, cmd.cfg) }

// Check implements program.Checker.
func (cmd *routerCmd) Check(c *cli) (err error) {
	if len(cmd.AdvertiseCIDR) == 0 {
		return program.Usagef("router needs at least one --advertise-cidr=PREFIX; to join without advertising a prefix, run nexd SERVICE_URL")
	}
	cmd.cfg, err = c.config(*cmd)
	return err
}

// Run joins, advertises the prefixes and runs the node until ctx ends.
func (cmd *routerCmd) Run(ctx context.Context, c *cli) error { return c.runReloading(ctx, cmd.cfg) }

// config builds the agent's configuration from the flags of join and router.
func (c *cli) config(r routerCmd) (cfg agent.Config, err error) {
	std := c.std
	if cfg.ServiceURL, err = c.serviceURL(r.ServiceURL); err != nil {
		return cfg, err
	}
	if cfg.Mode, err = c.mode(); err != nil {
		return cfg, err
	}
	if cfg.RegKey, err = c.regKey(); err != nil {
		return cfg, err
	}
	if cfg.StateDir, err = c.stateDir(); err != nil {
		return cfg, err
	}
	if cfg.Socket, err = c.socket(); err != nil {
		return cfg, err
	}
	if cfg.Advertise, err = c.advertisements(r.AdvertiseCIDR); err != nil {
		return cfg, err
	}
	if r.SNAT != "" {
		if cfg.SNAT, err = gateway.ParseMode(r.SNAT); err != nil {
			return cfg, program.Usagef("--snat: %w", err)
		}
	}
	if cfg.AllowLocal, err = each("allow-local", r.AllowLocal, router.ParseAllow); err != nil {
		return cfg, err
	}
	if cfg.AdvertiseEndpoints, err = each("advertise-endpoint", c.AdvertiseEndpoint, parseEndpoint); err != nil {
		return cfg, err
	}
	if _, err := candidates.ParseExclusion(c.ExcludeInterface); err != nil {
		return cfg, program.Usagef("--exclude-interface: %w", err)
	}
	cfg.ExcludeInterfaces = c.ExcludeInterface
	if c.MTU != 0 && (c.MTU < 1280 || c.MTU > 1500-60) {
		return cfg, program.Usagef("--mtu=%d must be from 1280 (the minimum of IPv6) to 1440 (the maximum on a network with an MTU of 1500)", c.MTU)
	}
	if cfg.MemoryLimit, err = parseMemory(c.MemoryLimit); err != nil {
		return cfg, err
	}
	if c.MetricsListen != "" {
		if err := metrics.CheckAddr(c.MetricsListen); err != nil {
			return cfg, program.UsageError{Err: err}
		}
	}
	cfg.MetricsListen = c.MetricsListen
	cfg.Forwards = append(prefixed("-L ", splitRules(c.LocalForward)), prefixed("-R ", splitRules(c.RemoteForward))...)
	if err := agent.CheckForwards(cfg.Forwards); err != nil {
		return cfg, program.UsageError{Err: err}
	}
	if cfg.Proxy, err = c.proxyConfig(); err != nil {
		return cfg, err
	}
	if c.Interface != "" {
		if err := tundev.CheckName(c.Interface); err != nil {
			return cfg, program.Usagef("--interface: %w", err)
		}
	}
	cfg.Interface, cfg.DropPrivileges = c.Interface, true
	cfg.MapFile, cfg.Hostname, cfg.ListenPort, cfg.MTU = c.Map, c.Hostname, c.ListenPort, c.MTU
	cfg.ProxyListen, cfg.InsecureHTTP, cfg.Version = c.ProxyListen, c.InsecureHTTP, program.Version()
	if c.level == nil {
		c.level = new(slog.LevelVar)
	}
	setLevel(c.level, c.LogLevel)
	cfg.Logger = program.NewLogger(std.Err, c.LogFormat, c.level)
	cfg.Approve = func(a node.Approval) { printApproval(std.Err, a, isTerminal(std.Err)) }
	if c.LogFormat == program.LogJSON {
		cfg.Approve = func(a node.Approval) {
			cfg.Logger.Warn("waiting for approval: open the link, sign in, and compare code and fingerprint", "link", a.Link, "code", a.Code, "fingerprint", a.Fingerprint, "expires", a.Expires)
		}
	}
	cfg.Ready = func(r agent.Ready) { printReady(std.Out, r) }
	return cfg, nil
}

// serviceURL returns the argument or the environment's URL. It may be empty, because the
// agent's state may have the URL.
func (c *cli) serviceURL(arg string) (string, error) {
	url := arg
	if url == "" && c.Map == "" {
		url = os.Getenv("NEXD_SERVICE_URL")
	}
	if url == "" && c.Map == "" {
		url = c.file.text(keyServiceURL)
	}
	switch {
	case url == "":
		return "", nil
	case !strings.Contains(url, "://"):
		return "", badURL(url, commands(c.parsed.Kong), nil)
	case c.Map != "":
		return "", program.Usagef("--map=%s and a service URL cannot be used together", c.Map)
	}
	if _, err := control.ParseJoinURL(url); err != nil {
		return "", program.UsageError{Err: err}
	}
	return url, nil
}

// mode chooses between --userspace and --tun by their sources: a flag overrides the
// opposite in the environment.
func (c *cli) mode() (node.Mode, error) {
	user, tun := c.Userspace, c.TUN
	if user && tun {
		su, st := source(c.parsed, "userspace"), source(c.parsed, "tun")
		if su == st {
			return 0, program.Usagef("--userspace and --tun cannot be used together")
		}
		user, tun = su > st, st > su
	}
	switch {
	case user:
		return node.Userspace, nil
	case tun:
		return node.TUN, nil
	}
	return node.Auto, nil
}

// regKey reads the registration key from the flag, the file or standard input. A flag
// overrides the other source in the environment.
func (c *cli) regKey() (string, error) {
	key, file := c.RegKey, c.RegKeyFile
	if key != "" && file != "" {
		sk, sf := source(c.parsed, "reg-key"), source(c.parsed, "reg-key-file")
		switch {
		case sk == sf:
			return "", program.Usagef("--reg-key and --reg-key-file cannot be used together")
		case sk > sf:
			file = ""
		default:
			key = ""
		}
	}
	if file == "" {
		return strings.TrimSpace(key), nil
	}
	return program.ReadSecret("registration key", file, c.std.In)
}

// each parses every value of a repeatable flag.
func each[T any](flag string, values []string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for _, v := range values {
		p, err := parse(v)
		if err != nil {
			return nil, program.Usagef("--%s: %w", flag, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// advertisements reads --advertise-cidr. It refuses prefixes that no service would grant,
// before a person is asked to approve them.
func (c *cli) advertisements(values []string) ([]mesh.Advertisement, error) {
	pools := []netip.Prefix{ipam.Pool4}
	if c.Map != "" {
		pools = nil // a static map has pools of its own
	}
	all, err := each("advertise-cidr", values, func(text string) (mesh.Advertisement, error) {
		a, err := mesh.ParseAdvertisement(text)
		if err == nil {
			err = ipam.Check(a.Prefix, pools...)
		}
		return a, err
	})
	for i, a := range all {
		for _, b := range all[:i] {
			if a != b && a.Prefix.Overlaps(b.Prefix) {
				return nil, program.Usagef("--advertise-cidr=%v and --advertise-cidr=%v overlap", b, a)
			}
		}
	}
	return all, err
}

func parseEndpoint(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 || ap.Addr().IsUnspecified() || ap.Addr().IsMulticast() {
		return ap, fmt.Errorf("%q must be ADDRESS:PORT, or [ADDRESS]:PORT for IPv6", s)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

func prefixed(prefix string, values []string) (out []string) {
	for _, v := range values {
		out = append(out, prefix+v)
	}
	return out
}

func setLevel(v *slog.LevelVar, level string) {
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil { // the grammar allows only levels
		l = slog.LevelInfo
	}
	v.Set(l)
}

// printReady prints the line that scripts wait for: ready NAME ADDR4 ADDR6 proxy=ADDR.
// A dash stands for a missing value.
func printReady(w io.Writer, r agent.Ready) {
	four, six := "-", "-"
	for _, a := range r.Addresses {
		if a.Is4() && four == "-" {
			four = a.String()
		} else if a.Is6() && six == "-" {
			six = a.String()
		}
	}
	proxies := strings.Join(r.Proxies, ",")
	if proxies == "" {
		proxies = "off"
	}
	fmt.Fprintf(w, "ready %s %s %s proxy=%s\n", r.Name, four, six, proxies)
}
