// Package gateway makes the host a router for the prefixes that this node advertises, in
// TUN mode on Linux.
//
//	peers ═ tunnel/filter ═ interface ─ arrive ─ map_in ─▶ forward ─▶ map_out ─▶ bridge or LAN
//	                                    (wall)   (DNAT)    (wall, MSS) (SNAT)
//
// The chains belong to one nftables table, "nexd-INTERFACE", which gateway replaces in one
// transaction. Outside of that table, gateway adds rules to Docker's DOCKER-USER chain and
// to the raw table that Docker filters in (or to the tables of Docker's nftables backend);
// their comments start with "nexd INTERFACE". It also changes forwarding settings of the
// interfaces concerned. A journal holds their previous values until they are restored.
//
// Package gateway is not a firewall for the host, and creates no routes or addresses;
// package tundev does. It does not decide which peer may send to which prefix: it forwards
// to the prefixes granted to this node, and to nothing else.
package gateway
