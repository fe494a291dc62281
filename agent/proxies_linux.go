package agent

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Keepalive of the proxy's clients, as package net has it.
const (
	clientKeepAlive      = 15 * time.Second
	clientKeepAliveCount = 9
)

// proxyListenConfig sets keepalive once, on the listener: on Linux the sockets it
// accepts have it from there, which spares four system calls for each client.
func proxyListenConfig() *net.ListenConfig {
	return &net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			seconds := int(clientKeepAlive / time.Second)
			// None can fail on a TCP socket, and a client is served without, too.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT, clientKeepAliveCount)
		})
	}}
}
