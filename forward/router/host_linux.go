package router

import "syscall"

// wantErrors makes a datagram socket report every ICMP unreachable. Without it, the socket reports
// only port unreachable.
func wantErrors(fd int, v6 bool) {
	if v6 {
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, 1)
		return
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_RECVERR, 1)
}

// mayFragment makes a datagram socket send IPv4 without DF, so that routers fragment what does not fit
// the way to the target. With DF, the datagrams before the first ICMP error would be lost.
func mayFragment(fd int, v6 bool) {
	if !v6 {
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DONT)
	}
}

// drainErrors empties the error queue that wantErrors turns on. The queue shares the receive buffer
// of the socket with its data.
func drainErrors(fd int) {
	var oob [512]byte
	for range 64 {
		if _, _, _, _, err := syscall.Recvmsg(fd, nil, oob[:], syscall.MSG_ERRQUEUE|syscall.MSG_DONTWAIT); err != nil {
			return
		}
	}
}
