package tunnel_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"nexd/internal/leak"
)

// An initiation goes to every candidate. WireGuard checks for a replay before it
// takes its lock, so that two copies at once can both be answered; the first
// answer then names a session that the second has ended, and nothing passes for
// 15 s. Each round is a first handshake with many copies.
func TestCopiesOfAnInitiationMakeOneSession(t *testing.T) {
	leak.Check(t)
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	b := newNode(t, 2)
	for i := range rounds {
		a := newNode(t, 10+i)
		at := []netip.AddrPort{b.at("::1")}
		for host := 1; host <= 15; host++ {
			at = append(at, b.at(fmt.Sprintf("127.0.0.%d", host)))
		}
		a.know(map[*node][]netip.AddrPort{b: at})
		b.know(map[*node][]netip.AddrPort{a: nil})
		mustTalk(a, b, 4*time.Second)
		a.stop()
	}
}
