// Package filter drops inbound packets that are not for this node.
//
// WireGuard checks only the source of a packet: a peer may send from its own addresses to
// any destination. The filter stands between WireGuard and the network stack or TUN
// interface. It passes packets to this node's addresses and to the prefixes that are
// granted to this node and advertised by it:
//
//	wireguard/device --Write--> Filter --kept packets--> netstack | tundev
//	wireguard/device <--Read--- Filter <---------------- netstack | tundev
//
// In both directions it drops messages of WireGuard to a node whose UDP address lies in a
// prefix of the mesh (SetEndpoints): the mesh must not carry itself. An address is a path only
// outside of the mesh, so a probe that would pass through a router of the mesh is never
// answered, whatever the routes of the hosts are.
//
// It is not a firewall: apart from that it checks nothing but the destination address, keeps
// no state per flow, and passes all outbound packets.
package filter
