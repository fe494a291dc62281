// Command bench measures nexd and its competitors on one machine and in one run. Ratios
// depend on the processor, so the tables name it.
//
// As root it creates namespaces, and removes them at the end:
//
//	host A ═══════ veth, or bench/link ═══════ host B ────── veth ────── container C
//	load client    (40 ms, loss)               agent                     load server
//	agent                                      (router)
//
// In every round it starts, measures and stops each system, one after the other, in an
// order that rotates by one per round:
//
//	raw     no VPN: a route through B
//	nexd    rootless at both ends; the client goes through its SOCKS port
//	stock   the same over wireguard's own tun/netstack (bench/stocknet), rootless
//	wggo    wireguard-go on TUN devices at both ends (bench/wgtun), as root
//	nexd-tun  nexd in TUN mode at both ends, as root
//
// It prints medians with their ranges and the ratio of nexd to each other system, and
// writes every sample as JSON. It fails only if it could not measure something or if other
// guests of the host took too much processor time. README.md describes each system and
// measure.
//
// The load client and server (package bench/load) are this program too, started with
// a role. Package bench/lab makes the namespaces and runs the programs, package
// bench/report prints the tables. bench/link, bench/stocknet and bench/wgtun are
// programs that the lab runs. Linux only.
package main
