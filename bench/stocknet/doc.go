// Command stocknet is a rootless WireGuard peer on wireguard's own tun/netstack, used
// through its public API. Most tools of this kind are built that way, so it is nexd's
// baseline.
//
//	client: SOCKS5 port ─▶ tun/netstack ─▶ wireguard device ─▶ stock bind ═ UDP
//	router: UDP ═ stock bind ─▶ wireguard device ─▶ tun/netstack, which owns the
//	        container's address and listens there ─▶ host socket ─▶ container
//
// tun/netstack has no forwarder, so the router answers only for a given address and port.
// To be fair, stocknet uses buffers of 256 KiB in both directions, supports half-close, and
// has no logging and no limits.
//
// It reads the WireGuard configuration from standard input, in the format of IpcSet.
package main
