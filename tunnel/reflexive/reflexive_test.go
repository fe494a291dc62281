package reflexive

import (
	"net/netip"
	"testing"
	"time"

	"nexd/internal/stun"
)

var here = netip.MustParseAddrPort("192.0.2.7:51820")

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
		m := New()
		m.servers = []netip.AddrPort{server}
		asked := 0
		for now := time.Duration(1); now < time.Minute; {
			packets, next := m.Requests(now, tt.active)
			asked += len(packets)
			if packet := packets[server]; tt.answers && packet != nil {
				r, err := stun.ParseRequest(packet)
				if err != nil || !m.Answer(stun.Response{ID: r.ID, Mapped: here}.Append(nil, false), server) {
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

func TestSilentSTUNServersMeanBlockedUDP(t *testing.T) {
	m := New()
	server := netip.MustParseAddrPort("192.0.2.1:3478")
	m.servers = []netip.AddrPort{server}
	now, answers := time.Hour, false
	turn := func() (last Mapped) { // as Run does it, until the end of a turn
		for {
			out, next := m.Requests(now, true)
			for to, q := range out {
				if r, err := stun.ParseRequest(q); err == nil && answers {
					m.Answer(stun.Response{ID: r.ID, Mapped: here}.Append(nil, false), to)
				}
			}
			if is, changed := m.Changed(now); changed {
				last = is
			}
			if out == nil || answers {
				now = m.turn + activeLife
				return last
			}
			now = next
		}
	}
	if is := turn(); !is.Blocked || is.Answered != 0 {
		t.Errorf("no server has answered: %+v", is)
	}
	answers = true
	if is := turn(); is.Blocked || is.Answered != 1 {
		t.Errorf("it answers: %+v", is)
	}
	answers = false
	if is := turn(); !is.Blocked || len(is.Addrs) != 1 {
		t.Errorf("it answers no more: %+v; the address may be the same when it does again", is)
	}
	if is := turn(); !is.Equal(Mapped{}) {
		t.Errorf("told again: %+v", is)
	}
	answers = true
	if is := turn(); is.Blocked {
		t.Errorf("it answers again: %+v", is)
	}
}

func TestACallHasSTUNAskedAgain(t *testing.T) {
	m := New()
	if m.Renew(time.Hour) {
		t.Error("without a server")
	}
	m.servers = []netip.AddrPort{here}
	now := time.Hour
	ask := func() int {
		out, _ := m.Requests(now, true)
		return len(out)
	}
	if ask() != 1 || m.Renew(now+time.Second) {
		t.Error("asked again within a second")
	}
	now += renewGap
	clear(m.requests) // it was answered
	if ask() != 0 {
		t.Error("asked without a reason")
	}
	if !m.Renew(now) || ask() != 1 {
		t.Error("not asked again")
	}
}

func TestAnotherNetworkForgetsTheAnswers(t *testing.T) {
	m, now := New(), time.Hour
	m.SetServers([]netip.AddrPort{here})
	ask := func() {
		out, _ := m.Requests(now, true)
		r, err := stun.ParseRequest(out[here])
		if err != nil || !m.Answer(stun.Response{ID: r.ID, Mapped: here}.Append(nil, false), here) {
			t.Fatalf("asked %v, %v", out, err)
		}
	}
	ask()
	if is, changed := m.Changed(now); !changed || is.Answered != 1 || !is.Equal(m.Mapped()) {
		t.Errorf("after an answer: %+v, %v", is, changed)
	}
	m.SetServers([]netip.AddrPort{here})
	if out, _ := m.Requests(now, true); out != nil {
		t.Error("the same servers are asked again")
	}
	m.Restart()
	if is, changed := m.Changed(now); !changed || len(is.Addrs) != 0 {
		t.Errorf("after a restart: %+v, %v", is, changed)
	}
	ask()
}
