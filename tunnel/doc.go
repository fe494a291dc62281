// Package tunnel runs WireGuard: it is the only importer of wireguard/device.
//
//	netstack | tundev -- tun.Device -- filter -- tun.Device -- onDemand --+
//	                                                         wireguard/device
//	UDP -- underlay -- conn.Bind -----------------------------------------+
//
// SetPeers takes the whole wanted set of peers and changes only the differences, so that
// a kept peer keeps its session. The endpoint of a peer is its public key; the underlay
// finds out where the peer is.
//
// A peer costs the device some 40 KiB and two goroutines, so the device has it only while
// it is needed:
//
//	         a packet for it; its authenticated initiation; Initiate
//	asleep ───────────────────────────────────────────────▶ awake
//	       ◀───────────────────────────────────────────────
//	         10 min without a byte, and no usable session
//
// A peer that is asleep costs no packet and no timer. The onDemand device looks up the
// destination of each packet before WireGuard reads it, and wakes the peer first, so that
// WireGuard holds even the first packet until the handshake is done. The bind
// authenticates an initiation and has the peer made before WireGuard gets the message. A
// peer without a session has nothing under way, so removing it loses nothing.
//
// It is not a key exchange of its own, knows no addresses of peers, and does not choose
// paths. It asks the device for the state of peers that are awake.
//
// Three properties of WireGuard to know:
//
//   - WireGuard notices a restarted peer 15 s after the first unanswered data. Initiate on
//     the peer's side repairs that at once, since the answer replaces the other side's
//     session; so a starting node initiates to the peers it had sessions with.
//   - WireGuard refuses an initiation whose timestamp is not later than the last one. Nobody
//     answers a node whose clock went back until its clock catches up. The underlay reports
//     the initiation through OnStray, and the other side initiates.
//   - The device draws 64 KiB buffers from unbounded pools. The network stack's windows
//     above and the socket buffers below bound its memory.
package tunnel
