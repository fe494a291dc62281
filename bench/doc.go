// Command bench measures nexd against what it has to beat, on one machine and
// within one run, so that the ratios carry over to other machines.
//
// As root it makes namespaces and leaves none behind:
//
//	host A ═══════ veth, or bench/link ═══════ host B ────── veth ────── container C
//	load client    (40 ms, loss)               agent                     load server
//	agent                                      (router)
//
// In every round each system is started afresh, measured and stopped, one after
// the other, in an order that turns by one per round:
//
//	raw     no VPN: a route through B
//	nexd    rootless at both ends; the client goes through its SOCKS port
//	stock   the same over wireguard's own tun/netstack (bench/stocknet), rootless
//	wggo    wireguard-go on TUN devices at both ends (bench/wgtun), as root
//	nexd-tun  nexd in TUN mode at both ends, as root
//
// It prints medians with their ranges and the ratio of nexd to each of the
// others, and writes every sample as JSON. It judges nothing and fails only when
// something could not be measured. README.md describes each system and measure.
//
// The load client and server (package bench/load) are this program too, started with
// a role. Package bench/lab makes the namespaces and runs the programs, package
// bench/report prints the tables. bench/link, bench/stocknet and bench/wgtun are
// programs that the lab runs. Linux only.
package main
