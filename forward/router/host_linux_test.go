package router

import (
	"net"
	"syscall"
	"testing"
)

// TestDatagramsToTargetsMayBeFragmented: with DF, the first ones over a smaller link would be lost.
func TestDatagramsToTargetsMayBeFragmented(t *testing.T) {
	d := net.Dialer{Control: socketOptions}
	c, err := d.Dial("udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := -1
	if cerr := raw.Control(func(fd uintptr) {
		got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER)
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if got != syscall.IP_PMTUDISC_DONT {
		t.Errorf("IP_MTU_DISCOVER = %d, want %d", got, syscall.IP_PMTUDISC_DONT)
	}
}
