package repair

import (
	"net/netip"
	"testing"
	"time"
)

var host4, host6 = netip.MustParseAddr("172.24.0.10"), netip.MustParseAddr("fd77::10")

func TestBlackHoleStates(t *testing.T) {
	const full = 1420
	t0 := time.Unix(1e9, 0)
	type sent struct {
		seq  uint32
		size int
		at   time.Duration
	}
	same := func(n int, seq uint32, size int) (s []sent) {
		for range n {
			s = append(s, sent{seq, size, 0})
		}
		return s
	}
	for _, tt := range []struct {
		name string
		do   []sent
		want int
	}{
		{"nothing lost", []sent{{1, full, 0}, {2, full, 0}, {3, full, 0}}, 0},
		{"sent twice", same(2, 1, full), 0},
		{"sent three times", same(3, 1, full), 1200},
		{"three times, others between", []sent{{1, full, 0}, {2, full, 0}, {1, full, 0}, {3, full, 0}, {1, full, 0}, {4, full, 0}, {1, full, 0}}, 0},
		{"small packets tell nothing", same(9, 1, 1200), 0},
		{"smaller ones vanish as well", same(4, 1, full), 576},
		{"it ends there", same(20, 1, full), 576},
		{"forgotten after a while", append(same(3, 1, full), sent{2, full, 0}, sent{3, full, firstLife + 1}), 0},
		{"not before", append(same(3, 1, full), sent{2, full, 0}, sent{3, full, firstLife - 1}), 1200},
		{"an outage is soon forgotten", append(same(20, 1, full), sent{2, full, 0}, sent{3, full, outageLife + 1}), 0},
	} {
		var b blackHole
		var paths pathTable
		b.last = 99
		for _, s := range tt.do {
			now := func() time.Time { return t0.Add(s.at) }
			if b.sent(s.seq, s.size, now) == limitProved {
				b.keep(paths.learn(host4, b.limit(), b.outage, now()))
			}
		}
		if b.limit() != tt.want {
			t.Errorf("%s: limit %d, want %d", tt.name, b.limit(), tt.want)
		}
	}
}

func TestBlackHoleResumes(t *testing.T) {
	t0 := time.Unix(1e9, 0)
	var b blackHole
	b.resume(1200, t0.Add(time.Minute))
	if f := b.sent(1, 1420, func() time.Time { return t0 }); b.limit() != 1200 || f != nothing {
		t.Errorf("limit %d", b.limit())
	}
	if f := b.sent(2, 1420, func() time.Time { return t0.Add(time.Hour) }); b.limit() != 0 || f != limitChanged {
		t.Errorf("limit %d after its time", b.limit())
	}
}

func TestPathTable(t *testing.T) {
	now := time.Unix(1e9, 0)
	var p pathTable
	if size, _ := p.lookup(host4, now); size != 0 {
		t.Errorf("an empty table knows %d", size)
	}
	for _, want := range []time.Duration{firstLife, 2 * firstLife, 4 * firstLife, 8 * firstLife, 16 * firstLife, lastLife, lastLife} {
		until := p.learn(host4, 1200, false, now)
		if got := until.Sub(now); got != want {
			t.Errorf("learned for %v, want %v", got, want)
		}
		if again := p.learn(host4, 1200, false, now.Add(time.Second)); again != until {
			t.Errorf("learned twice at the same time: until %v and %v", until, again)
		}
		if size, u := p.lookup(host4, now); size != 1200 || u != until {
			t.Errorf("lookup = %d, %v", size, u)
		}
		now = until.Add(1)
		if size, _ := p.lookup(host4, now); size != 0 {
			t.Errorf("after its time %d is known", size)
		}
	}
	for i := range maxPathHosts + 1 {
		a := host6.As16()
		a[14], a[15] = byte(i>>8), byte(i)
		p.learn(netip.AddrFrom16(a), 576, false, now)
	}
	if len(p.hosts) > maxPathHosts {
		t.Errorf("%d hosts are remembered", len(p.hosts))
	}
}
