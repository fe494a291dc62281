package link

import "testing"

func TestGaps(t *testing.T) {
	p := mustParse(t, split(t, super(local4, remote4, 1, 0x10, 0, 1340, letters(10)))[0])
	f, _ := p.Flow()
	var g gapTable
	for i, s := range []struct {
		begin, end uint32
		join       bool
	}{
		{0xffffff00, 0xffffffff, true}, // not known yet
		{0xffffffff, 100, true},        // goes on, across the wrap
		{200, 300, false},              // a gap
		{300, 400, false},
		{100, 200, true}, // filled
		{400, 500, true},
	} {
		if got := g.begins(f, s.begin); got != s.join {
			t.Errorf("step %d: begins(%d) = %v", i, s.begin, got)
		}
		g.ended(f, s.end)
	}
	other := f.Reverse()
	g.entry(other).flow = f // a flow in the place of another
	if !g.begins(other, 7) {
		t.Error("a flow that took another's place is not joined")
	}
}
