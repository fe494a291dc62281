package router

import "syscall"

// wantErrors makes a datagram socket report every ICMP unreachable, not only
// that of a port. Where that fails, the port's is still reported.
func wantErrors(fd int, v6 bool) {
	if v6 {
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, 1)
		return
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_RECVERR, 1)
}

// drainErrors empties the queue that wantErrors made, which shares the socket's
// receive buffer with data.
func drainErrors(fd int) {
	var oob [512]byte
	for range 64 {
		if _, _, _, _, err := syscall.Recvmsg(fd, nil, oob[:], syscall.MSG_ERRQUEUE|syscall.MSG_DONTWAIT); err != nil {
			return
		}
	}
}
