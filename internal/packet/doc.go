// Package packet reads the headers of IP packets where they lie: IPv4 and IPv6
// with its extension headers, TCP, UDP and ICMP, and does the internet checksum.
//
// Every view is a bounds-checked window on the caller's bytes; nothing is copied
// and nothing allocated, so a view is good only as long as the bytes are. The
// package decides nothing: what is allowed, answered or dropped is said by the
// rooms that use it. It does not reassemble fragments and does not read options
// beyond their length.
//
//	bytes ── ParseIP ──> IP ──┬─ Src, Dst, Proto, Payload
//	                          ├─ TCP(), UDP() ──> ports, flags, data
//	                          └─ Flow() ──> Flow, a comparable 5-tuple
package packet
