// Package packet reads the headers of IP packets in place: IPv4, IPv6 with extension
// headers, TCP, UDP and ICMP. It also computes the internet checksum.
//
// Every view is a bounds-checked window on the caller's bytes. The package copies and
// allocates nothing, so a view is valid only as long as the bytes. It makes no decisions
// about packets; its callers do. It does not reassemble fragments, and reads only the
// length of options.
//
//	bytes ── ParseIP ──> IP ──┬─ Src, Dst, Proto, Payload
//	                          ├─ TCP(), UDP() ──> ports, flags, data
//	                          └─ Flow() ──> Flow, a comparable 5-tuple
package packet
