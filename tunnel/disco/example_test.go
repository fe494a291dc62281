package disco_test

import (
	"fmt"
	"net/netip"

	"nexd/mesh"
	"nexd/tunnel/disco"
)

func ExamplePair() {
	ada, _ := mesh.NewPrivateKey()
	bob, _ := mesh.NewPrivateKey()
	atAda, _ := disco.NewPair(ada, bob.Public())
	atBob, _ := disco.NewPair(bob, ada.Public())

	ping := atAda.Seal(disco.Message{Kind: disco.Ping, Tx: disco.TxID{42}, Time: 1})
	m, ok := atBob.Open(ping)
	fmt.Println(m.Kind == disco.Ping, ok)

	pong := atBob.Seal(disco.Message{Kind: disco.Pong, Tx: m.Tx, Observed: netip.MustParseAddrPort("192.0.2.7:51820")})
	m, ok = atAda.Open(pong)
	fmt.Println(m.Observed, len(pong) <= len(ping), ok)
	// Output:
	// true true
	// 192.0.2.7:51820 true true
}
