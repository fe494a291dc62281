package tunnel_test

import (
	"fmt"
	"net/netip"

	"nexd/mesh"
	"nexd/tunnel"
	"nexd/tunnel/filter"
	"nexd/tunnel/underlay"
)

// Two nodes in one process, each made as the agent makes them.
func Example() {
	type side struct {
		key  mesh.PrivateKey
		addr netip.Addr
		tun  *chanTUN
		bind *underlay.Bind
		tunl *tunnel.Tunnel
	}
	var nodes [2]side
	for i := range nodes {
		n := &nodes[i]
		n.addr = netip.AddrFrom4([4]byte{100, 64, 0, byte(1 + i)})
		n.key, _ = mesh.NewPrivateKey()
		n.bind, _ = underlay.New(underlay.Config{PrivateKey: n.key})
		defer n.bind.Shutdown()
		n.tun = newChanTUN()
		f := filter.New(n.tun, nil)
		f.Set([]netip.Prefix{mesh.HostPrefix(n.addr)})
		n.tunl, _ = tunnel.New(tunnel.Config{PrivateKey: n.key, Device: f, Bind: n.bind})
		defer n.tunl.Close()
	}
	for i := range nodes {
		n, p := &nodes[i], &nodes[1-i]
		at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.bind.LocalPort())
		n.bind.SetPeers([]underlay.Peer{{Key: p.key.Public(), Candidates: []netip.AddrPort{at}}})
		n.tunl.SetPeers([]tunnel.Peer{{Key: p.key.Public(), AllowedIPs: []netip.Prefix{mesh.HostPrefix(p.addr)}}})
	}
	nodes[0].tun.out <- packet(nodes[0].addr, nodes[1].addr, 42, 8)
	fmt.Println("packet", seqOf(<-nodes[1].tun.in))
	path, _ := nodes[0].bind.Path(nodes[1].key.Public())
	fmt.Println("path proved:", path.Proved)
	// Output:
	// packet 42
	// path proved: true
}
