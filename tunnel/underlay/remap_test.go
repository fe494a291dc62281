package underlay

import (
	"net/netip"
	"testing"
	"time"
)

func TestACallHasSTUNAskedAgain(t *testing.T) {
	var m mapping
	m.init(nil)
	if m.soon(time.Hour) {
		t.Error("without a server")
	}
	m.servers = []netip.AddrPort{here}
	now := time.Hour
	ask := func() int {
		out, _ := m.questions(now, true)
		return len(out)
	}
	if ask() != 1 || m.soon(now+time.Second) {
		t.Error("asked again within a second")
	}
	now += remapGap
	clear(m.open) // it was answered
	if ask() != 0 {
		t.Error("asked without a reason")
	}
	if !m.soon(now) || ask() != 1 {
		t.Error("not asked again")
	}
}
