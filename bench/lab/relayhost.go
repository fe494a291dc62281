//go:build linux

package lab

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
)

// HostS is the relay's host. It forwards no packets.
const HostS = "s"

// RelayForA and RelayForB are the addresses of the relay's host, on a link to each
// of the other hosts.
var (
	RelayForA = netip.MustParsePrefix("198.51.100.1/24")
	RelayForB = netip.MustParsePrefix("203.0.113.1/24")
)

// AddRelayHost makes the relay's host and its links to A and B, once in a lab.
func (l *Lab) AddRelayHost(ctx context.Context) error {
	if l.relayHost {
		return nil
	}
	if err := l.AddNamespace(ctx, HostS); err != nil {
		return err
	}
	l.relayHost = true
	cmds := [][]string{l.Cmd("ip netns exec %s sysctl -qw net.ipv4.ip_forward=0", l.NS(HostS))}
	for _, w := range []struct {
		ns, dev string
		at      netip.Prefix
	}{{HostA, "a", RelayForA}, {HostB, "b", RelayForB}} {
		host := netip.PrefixFrom(w.at.Addr().Next(), w.at.Bits())
		cmds = append(cmds,
			l.Cmd("ip link add relay0 netns %s type veth peer name %s0 netns %s", l.NS(w.ns), w.dev, l.NS(HostS)),
			l.Cmd("ip -n %s addr add %v dev relay0", l.NS(w.ns), host),
			l.Cmd("ip -n %s link set relay0 mtu 1500 txqueuelen 10000 up", l.NS(w.ns)),
			l.Cmd("ip -n %s addr add %v dev %s0", l.NS(HostS), w.at, w.dev),
			l.Cmd("ip -n %s link set %s0 mtu 1500 txqueuelen 10000 up", l.NS(HostS), w.dev))
	}
	return l.Run(ctx, cmds...)
}

// SetDirect opens or closes the direct link between A and B.
func (l *Lab) SetDirect(ctx context.Context, open bool) error {
	state := "down"
	if open {
		state = "up"
	}
	return l.Run(ctx,
		l.Cmd("ip -n %s link set eth0 %s", l.NS(HostA), state),
		l.Cmd("ip -n %s link set eth0 %s", l.NS(HostB), state))
}

// FreshDir is an OwnDir with nothing in it.
func (l *Lab) FreshDir(name string) (string, error) {
	if err := os.RemoveAll(filepath.Join(l.Dir, name)); err != nil {
		return "", err
	}
	return l.OwnDir(name)
}
