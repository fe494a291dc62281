package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	neturl "net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"nexd/agent/localapi"
	"nexd/internal/envproxy"
)

type envCmd struct {
	Shell string `help:"Shell syntax: sh, fish or powershell." default:"sh" enum:"sh,fish,powershell" env:"-"`
	Unset bool   `help:"Print the commands that unset the variables." env:"-"`
}

// proxyVariables are the variables that programs read, with their values.
var proxyVariables = []struct{ name, scheme string }{
	{"http_proxy", "http"}, {"https_proxy", "http"}, {"HTTPS_PROXY", "http"}, {"all_proxy", "socks5h"}, {"ALL_PROXY", "socks5h"},
}

// exceptions are the variables with the hosts that programs reach without the proxy.
var exceptions = []string{"no_proxy", "NO_PROXY"}

// hostBytes are those of names, addresses, prefixes and patterns; none means anything to a shell
// inside quotes.
const hostBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/*[]"

// except returns the hosts that programs reach without the proxy: this host, the node's service and
// relay, without which there is no mesh, and what the shell excludes already.
func except(st localapi.Status, getenv func(string) string) string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	add := func(host string) {
		host = strings.TrimSpace(host)
		if host != "" && !slices.Contains(hosts, host) && strings.Trim(host, hostBytes) == "" {
			hosts = append(hosts, host)
		}
	}
	urls := []string{st.Service.URL}
	if st.Relay != nil {
		urls = append(urls, st.Relay.URL)
	}
	for _, text := range urls {
		if u, err := neturl.Parse(text); err == nil {
			add(u.Hostname())
		}
	}
	for _, name := range exceptions {
		for host := range strings.SplitSeq(getenv(name), ",") {
			add(host)
		}
	}
	return strings.Join(hosts, ",")
}

// Run implements program.Command.
func (e *envCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if e.Unset {
		for _, v := range proxyVariables {
			e.print(c.std.Out, v.name, "")
		}
		for _, name := range exceptions {
			e.print(c.std.Out, name, "")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	st, err := client.Status(ctx)
	if err != nil {
		return asked(err)
	}
	addr := usable(st.Proxies)
	if addr == "" {
		return fmt.Errorf("the node has no proxy that listens on TCP; start it with --proxy-listen=127.0.0.1:1080")
	}
	for _, v := range proxyVariables {
		e.print(c.std.Out, v.name, v.scheme+"://"+addr)
	}
	hosts := except(st, os.Getenv)
	for _, name := range exceptions {
		e.print(c.std.Out, name, hosts)
	}
	return nil
}

// print sets a variable in the shell's syntax; an empty value unsets it. Values contain no quotes,
// so quotes around them are enough.
func (e *envCmd) print(w io.Writer, name, value string) {
	form := map[string][2]string{
		"sh":         {"export %s='%s'\n", "unset %s\n"},
		"fish":       {"set -gx %s '%s';\n", "set -e %s;\n"},
		"powershell": {"$env:%s = '%s'\n", "Remove-Item -ErrorAction Ignore Env:%s\n"},
	}[e.Shell]
	if value == "" {
		fmt.Fprintf(w, form[1], name)
		return
	}
	fmt.Fprintf(w, form[0], name, value)
}

// usable returns the first listener that programs on this host can reach by TCP.
func usable(proxies []string) string {
	for _, p := range proxies {
		ap, err := netip.ParseAddrPort(p)
		if err != nil || strings.Contains(p, "%") {
			continue
		}
		switch {
		case ap.Addr() == netip.IPv4Unspecified():
			ap = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port())
		case ap.Addr() == netip.IPv6Unspecified():
			ap = netip.AddrPortFrom(netip.IPv6Loopback(), ap.Port())
		}
		return ap.String()
	}
	return ""
}

// serviceProxy is the environment's choice of a proxy for requests to the service, but never the
// running node's own proxy, which reaches the mesh only.
func (c *cli) serviceProxy() envproxy.Func {
	own := sync.OnceValue(func() []string {
		client, err := c.client()
		if err != nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), agentPatience)
		defer cancel()
		st, err := client.Status(ctx)
		if err != nil {
			return nil
		}
		return st.Proxies
	})
	return envproxy.Not(own, http.ProxyFromEnvironment, func(*neturl.URL) {})
}
