// Package disco is the codec of the messages with which two nodes find a path to each
// other: their format on the wire, and their keys.
//
//	front 8 | hint 8 | nonce 24 | sealed body, tag 16
//
//	body of a ping     1 | tx 12 | time 8 | zeros 71             148 bytes in all
//	        a pong     2 | tx 12 | observed address 18 | zeros 9  96
//	        a callme   3 | time 8 | count 1 | addresses 18 each, at most 16
//	        a report   4 | time 8 | counters 4 each, 7 | largest 2 | zero 1    96
//	        a sized    5 | tx 12 | time 8 | zeros                       97 and more
//
// A ping has front and size of WireGuard's initiation (01 00 00 00, then four random bytes
// in place of the index), a pong those of its data messages (04 00 00 00). A device on the
// way that drops WireGuard's handshakes or data therefore drops probes as well, so
// WireGuard can use a path that answers probes. The likeness hides nothing. A callme goes
// through the relay and has a magic number of its own. A report has the form of a pong, or
// that of a callme when it goes through the relay. A sized ping is a ping of the size and form of
// a data packet; a pong answers it. Nodes of older versions drop reports, and take a sized ping
// for data of an unknown session, so a node sends those only to peers that have sent a report.
//
// An address is 16 bytes, IPv4 mapped into IPv6, and a port. Numbers are
// big-endian. A pong is never larger than its ping.
//
// XChaCha20-Poly1305 with a random nonce seals the body, under a key for this pair of nodes
// and this direction:
//
//	HKDF-SHA256(X25519(own WireGuard key, peer's), info "nexd disco v1" | sender | receiver)
//
// It also authenticates front and hint. The hint is a hash of both public keys and the
// direction. With it the receiver finds the sender in a map, and tells a probe from a
// message of WireGuard; it proves nothing. The first byte of the magic number is above
// 0x80, so a callme is neither a message of WireGuard (1 to 4 and three zeros) nor STUN
// (two zero bits first).
//
// The time of a message is a number that its sender only ever raises; Window refuses
// messages that came before.
//
// It sends nothing and keeps no paths; tunnel/paths and tunnel/underlay do.
package disco
