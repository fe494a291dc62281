// Command wgtun is wireguard-go on a TUN device, from the same module that nexd is
// built on: the baseline of a data path with root.
//
//	kernel TCP ─▶ TUN device with offloads ─▶ wireguard device ─▶ stock bind ═ UDP
//
// It is what the wireguard-go program does, without its daemon and control socket:
// tun.CreateTUN, conn.NewDefaultBind, device.NewDevice. The WireGuard
// configuration comes on standard input, in the text of IpcSet.
package main
