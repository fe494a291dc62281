// Package fit makes packets fit the paths to their peers.
//
// The interface of the mesh has one MTU, but the path to a peer may carry less. The Device here
// stands between the network stack or TUN interface and WireGuard:
//
//	wireguard/device <--Read--- Device <--- netstack | tundev     too large for the path: see below
//	wireguard/device --Write--> Device ---> netstack | tundev     the MSS of a SYN is lowered
//
//	SYN, SYN-ACK              the MSS option becomes what the path carries, in both directions
//	IPv4, may be fragmented   fragments (RFC 791)
//	IPv4, DF                  dropped; the sender gets "fragmentation needed" (RFC 1191)
//	IPv6 above 1,280 bytes    dropped; the sender gets "packet too big" (RFC 8201)
//	IPv6 up to 1,280 bytes    fragments: no IPv6 link may refuse such a packet, and a link that cannot
//	                          carry it has to fragment (RFC 8200, section 5)
//
// A stack in this process is the source of all its packets and may fragment them (Config.Source). Then
// nothing is dropped and nobody is told. The host at the far end joins the fragments, so the peer may
// be any WireGuard.
//
// The sizes come from outside. While none is set, a Device costs one atomic load per batch. It
// measures nothing, reassembles nothing and keeps no state per flow.
package fit
