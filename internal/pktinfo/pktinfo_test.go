package pktinfo_test

import (
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"nexd/internal/pktinfo"
)

// Of a host with several addresses, each is asked in turn, and each answers itself.
func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux reports the address")
	}
	for _, tt := range []struct{ network, asked string }{
		{"udp4", "127.0.0.1"}, {"udp4", "127.0.0.2"}, {"udp4", "127.1.2.3"}, {"udp6", "::1"},
		{"udp", "127.0.0.1"}, {"udp", "127.0.0.2"}, {"udp", "::1"},
	} {
		t.Run(tt.network+" "+tt.asked, func(t *testing.T) {
			server, asked := wildcard(t, tt.network), netip.MustParseAddr(tt.asked)
			at := netip.AddrPortFrom(asked, server.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			client := wildcard(t, "udp")
			if err := client.SendFrom([]byte("asked"), at, netip.Addr{}); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			_, from, got, err := server.Receive(buf)
			if err != nil || got != asked {
				t.Fatalf("asked at %v, %v; want %v", got, err, asked)
			}
			if err := server.SendFrom([]byte("answer"), from, got); err != nil {
				t.Fatal(err)
			}
			_, from, _, err = client.Receive(buf)
			if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); err != nil || from != at {
				t.Errorf("the answer came from %v, %v; want %v", from, err, at)
			}
		})
	}
}

func wildcard(t *testing.T, network string) *pktinfo.Conn {
	t.Helper()
	c, err := net.ListenUDP(network, nil)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return pktinfo.Wrap(c)
}

// An address that the host lost, or that is none of the socket's family, does not cost the answer.
func TestAnAddressThatHasGoneIsNotInsistedOn(t *testing.T) {
	for _, network := range []string{"udp4", "udp6", "udp"} {
		for _, source := range []string{"192.0.2.1", "2001:db8::1", "fe80::1", "255.255.255.255", "224.0.0.1"} {
			server, client := wildcard(t, network), wildcard(t, network)
			to := netip.MustParseAddr("127.0.0.1")
			if network == "udp6" {
				to = netip.IPv6Loopback()
			}
			dst := netip.AddrPortFrom(to, client.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			if err := server.SendFrom([]byte("answer"), dst, netip.MustParseAddr(source)); err != nil {
				t.Errorf("%s, from %s: %v", network, source, err)
				continue
			}
			if _, _, _, err := client.Receive(make([]byte, 100)); err != nil {
				t.Errorf("%s, from %s: nothing arrived: %v", network, source, err)
			}
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	c := wildcard(t, "udp4")
	at, b := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), c.LocalAddr().(*net.UDPAddr).AddrPort().Port()), make([]byte, 100)
	allocs := testing.AllocsPerRun(100, func() {
		if err := c.SendFrom(b[:10], at, at.Addr()); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := c.Receive(b); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations for each datagram", allocs)
	}
}
