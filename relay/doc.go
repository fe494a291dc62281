// Package relay carries packets between two nodes that have no direct path. It contains the frames
// that a node and a relay exchange, and the node's client. The relay's side is package
// service/relayserver, which uses the frames, the queue and the handshake of this package.
//
//	node A ── WebSocket over HTTPS ──▶ relay ──▶ node B
//	   data to B                            data from A
//	      └───── UDP, while it passes ─────┘
//
// A message (a WebSocket message, or a long datagram) contains whole frames. A short datagram
// contains one data message and a number for the peer (datagram.go):
//
//	| version 1 | type | length, 2 | body …                              |
//	  challenge   relay's X25519 key of this connection, 32
//	  auth        node key 32, proof 32, token …
//	  welcome     session 4
//	  data        peer's key 32, packet: to the relay the receiver, from it the sender
//	  ping, pong  8 bytes that are sent back
//	  renew       token …
//	  bye         reason 1, text …
//	  bind, bound channel 2, peer's key 32
//
// The packets are sealed end to end (WireGuard messages and path probes), so a relay cannot read
// them; it can only drop them. While datagrams pass, data leaves in the caller's goroutine in runs
// (internal/udprun), as fast as the socket accepts it. Otherwise data is queued. A full queue drops
// the oldest data first, then handshakes and probes, but never the connection's own frames.
//
// The package does not choose paths (tunnel/paths). Of WireGuard it knows only how to tell a sealed
// packet from any other. It does not request tokens itself.
//
// Size: the WebSocket and the UDP carrier share the queue, the channels and the session.
package relay
