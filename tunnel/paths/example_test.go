package paths_test

import (
	"fmt"
	"net/netip"
	"time"

	"nexd/tunnel/paths"
)

func ExamplePeer() {
	p := paths.New(func() paths.TxID { return paths.TxID{1} })
	now := time.Second
	p.SetRelay(now, true)
	p.SetCandidates(now, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:51820")})

	for _, a := range p.Traffic(now, 0) { // the first packet
		switch a.Kind {
		case paths.Call:
			fmt.Println("tell the peer, through the relay, to probe us")
		case paths.Ping:
			fmt.Println("probe", a.To)
		}
	}
	fmt.Println("relay:", p.Path(now).Relay)

	now += 20 * time.Millisecond
	p.Pong(now, paths.TxID{1})
	fmt.Println(p.Path(now).Direct, "relay:", p.Path(now).Relay)
	// Output:
	// probe 192.0.2.7:51820
	// tell the peer, through the relay, to probe us
	// relay: true
	// 192.0.2.7:51820 relay: false
}
