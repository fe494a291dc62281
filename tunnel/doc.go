// Package tunnel runs WireGuard: it is the only importer of wireguard/device.
//
//	netstack | tundev -- tun.Device -- filter -- tun.Device -- gate --+
//	                                                     wireguard/device
//	UDP -- underlay -- conn.Bind -------------------------------------+
//
// It takes the whole wanted set of peers, changing only what differs, so that a kept
// peer keeps its session. A peer's endpoint is its public key: where the peer really
// is, the underlay finds out.
//
// A peer costs the device some 40 KiB and two goroutines, so it is there only while
// it is needed:
//
//	         a packet for it was read; it knocked; Initiate
//	asleep ───────────────────────────────────────────────▶ awake
//	       ◀───────────────────────────────────────────────
//	         10 min without a byte, and no session can be used
//
// Who is asleep costs no packet and no timer. The gate looks up whom each packet is
// for before the device sees it, and wakes the peer first, so that even the first
// packet is only staged until the handshake is done. A knock is an initiation whose
// sender the bind has found to have a peer's key. A peer without a session has
// nothing under way, so dropping it loses nothing.
//
// It is not a key exchange of its own, knows no addresses of peers, and does not
// choose paths. What the device has of a peer that is awake it asks the device.
//
// Three properties of WireGuard to know:
//
//   - A peer that was restarted is found out 15 s after the first unanswered data.
//     Initiate from its side mends that at once, since the answer replaces the
//     other side's session; so a starting node initiates to those it had sessions with.
//   - An initiation whose timestamp is not later than the last one is refused. A
//     node whose clock went back is heard by none until the clock catches up; the
//     underlay reports such an initiation as a stray, and the other side begins.
//   - The device draws 64 KiB buffers from pools without bound. What bounds memory
//     is the network stack's windows above and the socket buffers below.
package tunnel
