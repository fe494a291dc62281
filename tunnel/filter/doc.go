// Package filter drops inbound packets that are not for this node.
//
// WireGuard checks only where a packet comes from: a peer may send from its own
// addresses to any destination it likes. The filter stands between WireGuard
// and the network stack or TUN interface and lets pass what goes to one of this
// node's addresses or to a prefix granted to and advertised by it:
//
//	wireguard/device --Write--> Filter --kept packets--> netstack | tundev
//	wireguard/device <--Read--- Filter <---------------- netstack | tundev
//
// It is not a firewall: it looks at the destination address and nothing else,
// keeps no state per flow, and leaves outbound packets alone.
package filter
