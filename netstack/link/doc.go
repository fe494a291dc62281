// Package link is the network interface under gVisor's stack. Towards the stack it
// is a stack.LinkEndpoint, towards WireGuard a tun.Device.
//
//	       gVisor
//	WritePacket   Config.Deliver
//	     │              ▲
//	 own address? ──────┤         link.go
//	     │              │
//	   queue            │         queue.go, fairqueue.go
//	 segmenter      coalescer     segment.go │ coalesce.go, gaps.go
//	Device.Read    Device.Write   device.go
//	     ▼              │
//	     WireGuard or a filter
//
// Down: gVisor's TCP sends super-segments (GSO) of up to 45 packets. Device.Read
// splits one super-segment into WireGuard's buffers. The queue between them blocks
// its writers when it is full and never drops a packet.
//
// Up: Device.Write verifies every checksum, joins consecutive segments of one
// connection into one large segment (GRO), and hands it to the stack, which then
// runs once per batch instead of once per packet. Write verifies each packet before
// it joins them, because a checksum failure in a joined segment could not be traced
// to one of its parts. Fragments are not verified here: gVisor verifies the packet
// that it reassembles from them.
//
// mss.go decides how large a segment is that gVisor's TCP counts in: one packet on
// short paths, two packets on long ones.
package link
