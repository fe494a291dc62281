package underlay

import (
	"net/netip"
	"testing"
	"time"

	"nexd/internal/stun"
)

// A server that does not answer is asked often while there is traffic, since UDP may
// begin to pass at any moment, and rarely otherwise.
func TestHowOftenSTUNIsAsked(t *testing.T) {
	server := netip.MustParseAddrPort("192.0.2.1:3478")
	for _, tt := range []struct {
		what            string
		active, answers bool
		atLeast, atMost int
	}{
		{what: "traffic, no answer", active: true, atLeast: 40, atMost: 60},
		{what: "no traffic, no answer", atLeast: 8, atMost: 12},
		{what: "traffic, answers", active: true, answers: true, atLeast: 2, atMost: 3},
		{what: "no traffic, answers", answers: true, atLeast: 1, atMost: 1},
	} {
		var m mapping
		m.init(nil)
		m.servers = []netip.AddrPort{server}
		asked := 0
		for now := time.Duration(1); now < time.Minute; {
			packets, next := m.questions(now, tt.active)
			asked += len(packets)
			if packet := packets[server]; tt.answers && packet != nil {
				r, err := stun.ParseRequest(packet)
				if err != nil || !m.answer(stun.AppendResponse(nil, r.ID, here, false), server) {
					t.Fatalf("%s: the answer is not taken: %v", tt.what, err)
				}
			}
			now = max(next, now+time.Millisecond)
		}
		if asked < tt.atLeast || asked > tt.atMost {
			t.Errorf("%s: %d questions in a minute, want %d to %d", tt.what, asked, tt.atLeast, tt.atMost)
		}
	}
}
