package stun_test

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"nexd/internal/leak"
	wire "nexd/internal/stun"
	"nexd/service/stun"
)

// A service with several addresses answers from the one that was asked, through a NAT that lets
// nobody else in; so does its other port.
func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux reports the address")
	}
	leak.Check(t)
	s := stun.New(stun.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	var ports []uint16
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	serve := []func(){}
	for range 2 {
		conn, err := stun.Listen(":0")
		if err != nil {
			t.Fatal(err)
		}
		k := s.On(conn)
		ports = append(ports, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		serve = append(serve, func() { k.Serve(ctx, conn) })
	}
	for _, f := range serve {
		tasks.Go(f)
	}
	for _, asked := range []string{"127.0.0.1", "127.0.0.2", "127.5.5.5", "::1"} {
		for change, port := range map[wire.Change]uint16{wire.Asked: ports[0], wire.Asked | wire.ChangePort: ports[1]} {
			c, err := net.ListenUDP("udp", nil)
			if err != nil {
				t.Fatal(err)
			}
			c.WriteToUDPAddrPort(wire.AppendProbe(nil, wire.NewTxID(), change, 0), netip.AddrPortFrom(netip.MustParseAddr(asked), ports[0]))
			c.SetReadDeadline(time.Now().Add(30 * time.Second))
			_, from, err := c.ReadFromUDPAddrPort(make([]byte, 200))
			if want := netip.AddrPortFrom(netip.MustParseAddr(asked), port); err != nil || netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != want {
				t.Errorf("asked %s, change %b: the answer is from %v, %v; want %v", asked, change, from, err, want)
			}
			c.Close()
		}
	}
}
