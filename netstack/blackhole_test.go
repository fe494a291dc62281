package netstack

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

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
			if b.sent(s.seq, s.size, now) == proved {
				b.keep(paths.learn(remote4, b.limit(), b.outage, now()))
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
	if f := b.sent(2, 1420, func() time.Time { return t0.Add(time.Hour) }); b.limit() != 0 || f != changed {
		t.Errorf("limit %d after its time", b.limit())
	}
}

func TestPathTable(t *testing.T) {
	now := time.Unix(1e9, 0)
	var p pathTable
	if size, _ := p.lookup(remote4, now); size != 0 {
		t.Errorf("an empty table knows %d", size)
	}
	for _, want := range []time.Duration{firstLife, 2 * firstLife, 4 * firstLife, 8 * firstLife, 16 * firstLife, lastLife, lastLife} {
		until := p.learn(remote4, 1200, false, now)
		if got := until.Sub(now); got != want {
			t.Errorf("learned for %v, want %v", got, want)
		}
		if again := p.learn(remote4, 1200, false, now.Add(time.Second)); again != until {
			t.Errorf("learned twice at the same time: until %v and %v", until, again)
		}
		if size, u := p.lookup(remote4, now); size != 1200 || u != until {
			t.Errorf("lookup = %d, %v", size, u)
		}
		now = until.Add(1)
		if size, _ := p.lookup(remote4, now); size != 0 {
			t.Errorf("after its time %d is known", size)
		}
	}
	for i := range maxPathHosts + 1 {
		a := remote6.As16()
		a[14], a[15] = byte(i>>8), byte(i)
		p.learn(netip.AddrFrom16(a), 576, false, now)
	}
	if len(p.hosts) > maxPathHosts {
		t.Errorf("%d hosts are remembered", len(p.hosts))
	}
}

func TestHoles(t *testing.T) {
	p := mustParse(t, split(t, super(local4, remote4, 1, 0x10, 0, 1340, letters(10)))[0])
	f, _ := p.Flow()
	var h holes
	for i, s := range []struct {
		begin, end uint32
		join       bool
	}{
		{0xffffff00, 0xffffffff, true}, // not known yet
		{0xffffffff, 100, true},        // goes on, across the wrap
		{200, 300, false},              // a hole
		{300, 400, false},
		{100, 200, true}, // filled
		{400, 500, true},
	} {
		if got := h.begins(f, s.begin); got != s.join {
			t.Errorf("step %d: begins(%d) = %v", i, s.begin, got)
		}
		h.ended(f, s.end)
	}
	other := f.Reverse()
	h.entry(other).flow = f // a flow in the place of another
	if !h.begins(other, 7) {
		t.Error("a flow that took another's place is not joined")
	}
}

func TestWindowGrows(t *testing.T) {
	const rtt = 20 * time.Millisecond
	for _, tt := range []struct {
		took time.Duration
		want int
	}{{rtt, 2 << 20}, {2 * rtt, 2 << 20}, {3 * rtt, 1 << 20}, {0, 2 << 20}} {
		w := window{size: 1 << 20, limit: 8 << 20, bytes: 1 << 19}
		if w.measured(tt.took, rtt); w.size != tt.want {
			t.Errorf("half a buffer in %v at a round trip of %v: %d", tt.took, rtt, w.size)
		}
	}
	w := window{size: 5 << 20, limit: 8 << 20, bytes: 5 << 19}
	if w.measured(0, 0); w.size != 5<<20 {
		t.Errorf("grew to %d without a round trip known", w.size)
	}
	if w.measured(rtt, rtt); w.size != 8<<20 {
		t.Errorf("grew to %d, want the limit", w.size)
	}
	if w.blocked(); w.measuring {
		t.Error("still measures at the limit")
	}
	// The shortest round trip counts: queues make all later ones longer.
	w = window{size: 1 << 20, limit: 8 << 20, bytes: 1 << 19}
	w.measured(time.Second, rtt)
	if w.measured(10*rtt, 20*rtt); w.size != 1<<20 {
		t.Errorf("grew to %d because of a queue", w.size)
	}
}

func TestAgeEcho(t *testing.T) {
	ts := func(v byte) []byte { return []byte{8, 10, 1, 1, 1, 1, 9, 9, 9, older + v} }
	for _, tt := range []struct{ in, want []byte }{
		{ts(older), ts(0)},
		{append([]byte{1, 1}, ts(older)...), append([]byte{1, 1}, ts(0)...)},
		{append([]byte{5, 2}, ts(older)...), append([]byte{5, 2}, ts(0)...)},
		{append([]byte{0}, ts(7)...), append([]byte{0}, ts(7)...)},
		{[]byte{8, 10, 1, 1, 1, 1, 0, 0, 0, older}, []byte{8, 10, 1, 1, 1, 1, 0, 0, 0, older}},
		{[]byte{8}, []byte{8}}, {[]byte{8, 10, 1}, []byte{8, 10, 1}}, {[]byte{8, 0, 1}, []byte{8, 0, 1}}, {nil, nil},
	} {
		got := append([]byte(nil), tt.in...)
		if ageEcho(got); fmt.Sprint(got) != fmt.Sprint(tt.want) && len(tt.want) > 0 {
			t.Errorf("ageEcho(%v) = %v, want %v", tt.in, got, tt.want)
		}
	}
}
