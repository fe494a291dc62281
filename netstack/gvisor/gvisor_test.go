package gvisor_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
)

func TestAddressesThereAndBack(t *testing.T) {
	for _, s := range []string{"100.64.0.1", "fd00::1"} {
		a := netip.MustParseAddr(s)
		if got := gvisor.Addr(gvisor.Address(a)); got != a {
			t.Errorf("%v came back as %v", a, got)
		}
		if f := gvisor.FullAddress(netip.AddrPortFrom(a, 80)); gvisor.Addr(f.Addr) != a || f.Port != 80 || f.NIC != gvisor.NIC {
			t.Errorf("%v, port 80 is %+v", a, f)
		}
	}
	if f := gvisor.FullAddress(netip.AddrPortFrom(netip.IPv6Unspecified(), 80)); f.Addr.Len() != 0 {
		t.Errorf("the unspecified address is %v, want gVisor's empty address", f.Addr)
	}
}

func TestErrorsAreThoseOfPackageNet(t *testing.T) {
	for err, want := range map[tcpip.Error]error{
		&tcpip.ErrConnectionRefused{}: syscall.ECONNREFUSED,
		&tcpip.ErrHostUnreachable{}:   syscall.EHOSTUNREACH,
		&tcpip.ErrTimeout{}:           syscall.ETIMEDOUT,
		&tcpip.ErrPortInUse{}:         syscall.EADDRINUSE,
		nil:                           nil,
	} {
		if got := gvisor.Errno(err); !errors.Is(got, want) {
			t.Errorf("%v is %v, want %v", err, got, want)
		}
	}
	if got := gvisor.Errno(&tcpip.ErrBadBuffer{}); got == nil || got.Error() != (&tcpip.ErrBadBuffer{}).String() {
		t.Errorf("an error without an errno is %v", got)
	}
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for _, want := range []error{syscall.ETIMEDOUT, context.DeadlineExceeded, os.ErrDeadlineExceeded} {
		if got := gvisor.ContextError(ctx); !errors.Is(got, want) {
			t.Errorf("an expired context: %v is not %v", got, want)
		}
	}
}

func TestPacketsAreCopies(t *testing.T) {
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, 59, 64 // 59: no next header
	p, err := packet.ParseIP(b)
	if err != nil {
		t.Fatal(err)
	}
	pkt := gvisor.CopyPacket(p)
	defer pkt.DecRef()
	b[7] = 1
	got := pkt.ToView()
	defer got.Release()
	if bytes.Equal(got.AsSlice(), b) || pkt.NetworkProtocolNumber != gvisor.Protocol(netip.IPv6Loopback()) {
		t.Errorf("the packet shares the caller's bytes, or is of protocol %#x", pkt.NetworkProtocolNumber)
	}
}
