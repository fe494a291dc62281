// Command wgtun is wireguard-go on a TUN device, from the module that nexd uses too. It is
// the baseline of a data path with root.
//
//	kernel TCP ─▶ TUN device with offloads ─▶ wireguard device ─▶ stock bind ═ UDP
//
// It does the same as the program wireguard-go, without its daemon and control socket:
// tun.CreateTUN, conn.NewDefaultBind, device.NewDevice. It reads the WireGuard
// configuration from standard input, in the format of IpcSet.
package main
