// Package gateway makes the host a router of the prefixes that this node
// advertises, in TUN mode on Linux.
//
//	peers ═ tunnel/filter ═ interface ─ arrive ─ map_in ─▶ forward ─▶ map_out ─▶ bridge or LAN
//	                                    (wall)   (DNAT)    (wall, MSS) (SNAT)
//
// The chains are those of one nftables table, "nexd-INTERFACE", which is replaced
// in one transaction. Outside of it gateway touches Docker's DOCKER-USER chain and
// Docker's filter in the raw table (or the tables of Docker's nftables backend), with
// rules whose comment starts with "nexd INTERFACE", and the switches for forwarding of the interfaces concerned, whose
// values before are in a journal until they are put back.
//
// It is not a firewall for the host and makes no routes or addresses; package
// tundev does. Who may send to which prefix is not its business, either: it sees
// the prefixes granted to this node, and forwards nothing else.
package gateway
