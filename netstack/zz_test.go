package netstack_test

import (
	"fmt"
	"nexd/netstack"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	time.AfterFunc(20*time.Millisecond, func() { p.wire.mtu.Store(1300) })
	go func() {
		time.Sleep(10 * time.Second)
		sa, sb := p.a.Stats(), p.b.Stats()
		fmt.Println("a rtx", sa.Retransmits, "to", sa.Timeouts, "rx", sa.RxBytes>>20, "| b", sb.Retransmits, sb.Timeouts, sb.RxBytes>>20, "large", p.wire.large.Load(), "pk", p.wire.packets.Load())
	}()
	start := time.Now()
	exchange(t, client, server, 50<<20)
	fmt.Println("took", time.Since(start))
}
