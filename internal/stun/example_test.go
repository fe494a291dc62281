package stun_test

import (
	"fmt"
	"net/netip"

	"nexd/internal/stun"
)

func Example() {
	id := stun.NewTxID()
	asked := stun.AppendRequest(nil, id) // sent from the socket in question

	req, _ := stun.ParseRequest(asked) // at the server, which sees where it came from
	answer := stun.Response{ID: req.ID, Mapped: netip.MustParseAddrPort("203.0.113.7:40001")}.Append(nil, req.Fingerprint)

	r, err := stun.ParseResponse(answer)
	fmt.Println(r.ID == id, r.Mapped, err)
	// Output: true 203.0.113.7:40001 <nil>
}
