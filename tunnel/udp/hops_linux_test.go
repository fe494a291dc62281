package udp

import (
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// One packet goes a few hops, all others, even at the same time, as far as ever.
func TestOnePacketOfFewHops(t *testing.T) {
	for name, open := range map[string]func(uint16, *slog.Logger) (*Sockets, error){"batches": Open, "portable": OpenPortable} {
		t.Run(name, func(t *testing.T) {
			to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			raw, err := to.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			usual := 0
			raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTTL, 1)
				usual, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL)
			})
			if err != nil {
				t.Fatal(err)
			}
			s, err := open(0, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			dst := to.LocalAddr().(*net.UDPAddr).AddrPort()
			const packets, hops = 60, 3 // as many as wait in a small buffer
			var tasks sync.WaitGroup
			tasks.Go(func() {
				for range packets {
					if _, err := s.SendFrom([][]byte{{0}, {0}}, dst, netip.Addr{}, true); err != nil {
						t.Error(err)
					}
				}
			})
			for range packets {
				if err := s.SendHops([]byte{hops}, dst, hops); err != nil {
					t.Fatal(err)
				}
			}
			tasks.Wait()
			if err := s.SendHops([]byte{1}, netip.MustParseAddrPort("[::1]:9"), hops); err == nil {
				t.Error("IPv6 is taken")
			}
			few := 0
			to.SetReadDeadline(time.Now().Add(30 * time.Second))
			for i := range 3 * packets {
				b, oob := make([]byte, 10), make([]byte, 100)
				_, n, _, _, err := to.ReadMsgUDPAddrPort(b, oob)
				if err != nil {
					t.Fatalf("after %d packets: %v", i, err)
				}
				msgs, err := unix.ParseSocketControlMessage(oob[:n])
				if err != nil || len(msgs) != 1 {
					t.Fatalf("control messages %v, %v", msgs, err)
				}
				want := usual
				if b[0] == hops {
					want = hops
					few++
				}
				if got := int(binary.NativeEndian.Uint32(msgs[0].Data)); got != want {
					t.Fatalf("a packet that was to go %d hops may go %d", want, got)
				}
			}
			if few != packets {
				t.Errorf("%d packets of few hops", few)
			}
		})
	}
}
