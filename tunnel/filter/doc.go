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
// It is not a firewall: it checks nothing but the destination address, keeps no state per
// flow, and passes all outbound packets.
package filter
