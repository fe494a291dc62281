// Command stocknet is a rootless WireGuard peer over wireguard's own tun/netstack,
// used through its public API only: the baseline for nexd, as most tools of this
// kind are built.
//
//	client: SOCKS5 port ─▶ tun/netstack ─▶ wireguard device ─▶ stock bind ═ UDP
//	router: UDP ═ stock bind ─▶ wireguard device ─▶ tun/netstack, which owns the
//	        container's address and listens there ─▶ host socket ─▶ container
//
// tun/netstack has no forwarder, so that the router answers only for the address
// and port it is told. It gets a fair chance: buffers of 256 KiB in both
// directions, half-close kept, no logging, no limits.
//
// The WireGuard configuration comes on standard input, in the text of IpcSet.
package main
