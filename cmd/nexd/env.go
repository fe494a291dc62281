package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

type envCmd struct {
	Shell string `help:"Shell syntax: sh, fish or powershell." default:"sh" enum:"sh,fish,powershell" env:"-"`
	Unset bool   `help:"Print the commands that unset the variables." env:"-"`
}

// proxyVariables are the variables that programs read, with their values.
var proxyVariables = []struct{ name, scheme string }{
	{"http_proxy", "http"}, {"https_proxy", "http"}, {"HTTPS_PROXY", "http"}, {"all_proxy", "socks5h"}, {"ALL_PROXY", "socks5h"},
}

// own lists the hosts that programs reach without the proxy.
const own = "localhost,127.0.0.1,::1"

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
		e.print(c.std.Out, "no_proxy", "")
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
	e.print(c.std.Out, "no_proxy", own)
	return nil
}

// print sets a variable in the shell's syntax; an empty value unsets it. Values are
// addresses or constants, so quotes are enough.
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
