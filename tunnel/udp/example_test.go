package udp_test

import (
	"fmt"
	"log/slog"
	"net/netip"

	"nexd/tunnel/udp"
)

// Two datagrams of one size leave in one system call, where the system has it.
func ExampleSockets() {
	log := slog.New(slog.DiscardHandler)
	a, err := udp.Open(0, log)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	b, err := udp.Open(0, log)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), b.Port())
	if _, err := a.SendFrom([][]byte{[]byte("one"), []byte("two")}, to, netip.Addr{}, false); err != nil {
		fmt.Println(err)
		return
	}
	bufs, sizes := make([][]byte, udp.BatchSize), make([]int, udp.BatchSize)
	for i := range bufs {
		bufs[i] = make([]byte, 1<<16)
	}
	spans := make([]udp.Span, udp.BatchSize)
	r, _ := b.Readers()
	for got := 0; got < 2; {
		n, err := r.Read(bufs, sizes, spans)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, s := range spans[:n] {
			for i := s.First; i < s.First+s.Count; i++ {
				fmt.Println(string(bufs[i][:sizes[i]]), s.Src.Port() == a.Port())
				got++
			}
		}
	}
	// Output:
	// one true
	// two true
}
