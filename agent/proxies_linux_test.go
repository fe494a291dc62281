package agent

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What the listener was told holds for the clients it accepts.
func TestProxyClientsAreKeptAlive(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := new(agent).listenProxy(at)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		client, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		raw, err := client.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []struct{ level, option, want int }{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		} {
			raw.Control(func(fd uintptr) {
				if got, err := unix.GetsockoptInt(int(fd), o.level, o.option); err != nil || got != o.want {
					t.Errorf("%s: option %d of level %d is %d, %v; want %d", at, o.option, o.level, got, err, o.want)
				}
			})
		}
	}
}
