// Package netstack is TCP/IP inside this process: gVisor's stack behind a
// net-like API above and a WireGuard tun.Device below. It is the only importer
// of gVisor.
//
//	Dial, Listen, Ping          Inbound: TCPFlow, UDPFlow, EchoRequest
//	       │                       ▲ for addresses that are not our own
//	┌──────┴───────────────────────┴──────┐
//	│ Conn, Listener, PacketConn, verdicts│  conn*.go, dial.go, inbound*.go
//	├─────────────────────────────────────┤
//	│ gVisor: TCP, UDP, ICMP, IP          │
//	├─────────────────────────────────────┤
//	│ link: own address? loop : queue     │  link.go, flow.go, hold.go
//	│ egress queue, blocking, bounded     │  egress.go
//	└──────┬───────────────────────▲──────┘
//	  segmenter                coalescer     segment.go, coalesce.go
//	  Device.Read             Device.Write   device.go
//	       ▼                       │
//	          WireGuard (or a filter)
//
// Down, gVisor hands out TCP super-segments of up to 44 packets; Read splits one
// of them into WireGuard's buffers. On a long path two packets are one segment for
// its congestion window; SYNs on the wire say what the link carries (wire.go). Up,
// Write joins runs of segments of one connection into one segment, so that the
// stack runs once per run. Checksums of everything that comes in are verified in
// Write, packet by packet, because a joined segment could not tell which of its
// parts was bad; fragments are left to gVisor, which verifies what it has put
// together.
//
// The stack takes packets to every address. Those to this node's own addresses
// meet its listeners; all others are flows to be judged by Inbound, once each.
// Which addresses may come here at all is tunnel/filter's to say.
//
// Not here: WireGuard, names, policy, and host sockets.
package netstack
