// Package disco is the words with which two nodes find a path to each other:
// what a probe looks like on the wire, and who can make one.
//
//	front 8 | hint 8 | nonce 24 | sealed body, tag 16
//
//	body of a ping     1 | tx 12 | time 8 | zeros 71             148 bytes in all
//	        a pong     2 | tx 12 | observed address 18 | zeros 9  96
//	        a callme   3 | time 8 | count 1 | addresses 18 each, at most 16
//
// A ping has front and size of WireGuard's initiation (01 00 00 00, then four
// random bytes where an index would be), a pong those of its data messages (04 00
// 00 00): what on the way drops handshakes or data of WireGuard drops probes as
// well, so a path that answers them is one that WireGuard can use. It hides
// nothing. A callme goes through the relay and has a magic of its own.
//
// An address is 16 bytes, IPv4 mapped into IPv6, and a port. Numbers are
// big-endian. An answer is never larger than the question.
//
// The body is sealed with XChaCha20-Poly1305 and a random nonce, under a key for
// this pair of nodes and this direction:
//
//	HKDF-SHA256(X25519(own WireGuard key, peer's), info "nexd disco v1" | sender | receiver)
//
// Front and hint are authenticated with it. The hint, a hash of both public keys
// and the direction, lets the receiver find the sender in a map, and tells a probe
// from a message of WireGuard; it proves nothing. The first byte of the magic is
// above 0x80, so no callme is a message of WireGuard (1 to 4 and three zeros) or
// STUN (two zero bits first).
//
// The time of a ping or callme is a number that its sender only ever raises;
// Window refuses what came before.
//
// It is not a prober: it sends nothing, keeps no paths, and does not say who may
// be believed. That is tunnel/paths.
package disco
