// Package netstack is TCP/IP inside this process: gVisor's stack with an API like
// package net above it, and a WireGuard tun.Device below it.
//
//	Dial, Listen, Ping           HandleInbound: TCPFlow, UDPFlow, EchoRequest
//	       │                        ▲
//	┌──────┴───────────────┐ ┌──────┴─────────────────────────┐
//	│ Conn, PacketConn …   │ │ inbound: flows to addresses    │
//	│ (this package)       │ │ that are not the node's own    │
//	├──────────────────────┴─┴────────────────────────────────┤
//	│ gVisor: TCP, UDP, ICMP, IP                               │ repair: what gVisor's
//	├──────────────────────────────────────────────────────────┤ TCP lacks in a tunnel
//	│ link: queue, segmentation (GSO), coalescing (GRO)        │
//	└──────┬────────────────────────▲──────────────────────────┘
//	  Device.Read              Device.Write
//	       ▼                        │
//	         WireGuard or a filter
//
// The parts are packages of their own. Apart from the last two they do not import each
// other:
//
//   - netstack/link is the interface under gVisor and the tun.Device.
//   - netstack/inbound asks for a verdict on flows to advertised prefixes.
//   - netstack/repair works around gVisor's TCP: path MTU black holes, delayed
//     acknowledgements, retransmission timeouts, buffer sizes.
//   - netstack/hostsocket reads and writes the host's sockets for copies between a
//     Conn and a socket.
//   - netstack/gvisor converts addresses, errors and packets, netstack/icmp encodes
//     ICMP messages; the other parts use these two.
//
// No other room imports gVisor.
//
// The stack accepts packets to every address. Those to the node's own addresses reach
// its listeners and sockets; all others are flows for HandleInbound. tunnel/filter
// decides which addresses may arrive here at all.
//
// netstack is not a WireGuard implementation, resolves no names, enforces no policy
// and opens no socket of the host.
//
// Size: connections, sockets and their copies are the API of one type; what they share with gVisor
// is in the parts.
package netstack
