package stun_test

import (
	"fmt"
	"net/netip"

	wire "nexd/internal/stun"
	"nexd/service/stun"
)

func ExampleServer_Answer() {
	s := stun.New(stun.Config{})
	from := netip.MustParseAddrPort("203.0.113.7:40001")
	answer := s.Answer(nil, wire.AppendRequest(nil, wire.NewTxID()), from)
	r, err := wire.ParseResponse(answer)
	fmt.Println(r.Mapped, err, s.Stats().Answered)
	// Output: 203.0.113.7:40001 <nil> 1
}
