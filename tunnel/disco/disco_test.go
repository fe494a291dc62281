package disco

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"nexd/internal/sealed"
	"nexd/mesh"
)

func keys(t testing.TB) (a, b mesh.PrivateKey) {
	t.Helper()
	for _, k := range []*mesh.PrivateKey{&a, &b} {
		var err error
		if *k, err = mesh.NewPrivateKey(); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func pair(t testing.TB, own mesh.PrivateKey, peer mesh.Key) *Pair {
	t.Helper()
	p, err := NewPair(own, peer)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func messages() map[string]Message {
	full := Message{Kind: CallMe, Time: 1}
	for i := range MaxAddrs {
		full.Addrs = append(full.Addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1000))
	}
	return map[string]Message{
		"ping":               {Kind: Ping, Tx: TxID{1, 2, 3}, Time: 1 << 60},
		"pong":               {Kind: Pong, Tx: TxID{4}, Observed: ap("192.0.2.7:51820")},
		"pong, IPv6":         {Kind: Pong, Tx: TxID{4}, Observed: ap("[2001:db8::1]:1")},
		"pong through relay": {Kind: Pong, Tx: TxID{4}},
		"empty call":         {Kind: CallMe, Time: 7},
		"call":               {Kind: CallMe, Time: 7, Addrs: []netip.AddrPort{ap("10.0.0.1:1"), ap("[fd00::1]:2")}},
		"full call":          full,
		"report":             {Kind: Report, Time: 9, Arrived: [Counters]uint32{1, 2, 3, 4, 5, 6, 1<<32 - 1}, Largest: 1452},
		"report by relay":    {Kind: Report, Time: 9, Relayed: true},
		"sized":              {Kind: Sized, Tx: TxID{5}, Time: 9, Size: 1452},
		"small sized":        {Kind: Sized, Tx: TxID{5}, Time: 9, Size: LeastSized},
	}
}

func TestMessagesCross(t *testing.T) {
	a, b := keys(t)
	from, to := pair(t, a, b.Public()), pair(t, b, a.Public())
	for name, m := range messages() {
		packet := from.Seal(m)
		if want := m.Size; want > 0 && len(packet) != want {
			t.Errorf("%s: %d bytes, want %d", name, len(packet), want)
		}
		if len(packet) < MinSize || m.Size == 0 && len(packet) > MaxSize {
			t.Errorf("%s: %d bytes are not within %d and %d", name, len(packet), MinSize, MaxSize)
		}
		if hint, ok := HintOf(packet); !ok || hint != HintFor(a.Public(), b.Public()) {
			t.Errorf("%s: hint %x, %v", name, hint, ok)
		}
		if got, ok := to.Open(packet); !ok || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: opened as %+v, %v; want %+v", name, got, ok, m)
		}
	}
}

func TestAnAnswerIsNotLargerThanTheQuestion(t *testing.T) {
	a, b := keys(t)
	p, m := pair(t, a, b.Public()), messages()
	if ping, pong := len(p.Seal(m["ping"])), len(p.Seal(m["pong"])); pong > ping {
		t.Errorf("a pong has %d bytes, a ping %d", pong, ping)
	}
}

func TestForgedPacketsDoNotOpen(t *testing.T) {
	a, b := keys(t)
	c, _ := keys(t)
	from, to := pair(t, a, b.Public()), pair(t, b, a.Public())
	m := messages()["call"]
	good := from.Seal(m)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, ok := to.Open(bad); ok {
			t.Fatalf("opened with byte %d changed", i)
		}
	}
	for name, packet := range map[string][]byte{
		"cut":                 good[:len(good)-1],
		"longer":              append(bytes.Clone(good), 0),
		"oversized":           append(bytes.Clone(good), make([]byte, 2000)...),
		"empty":               nil,
		"reflected":           to.Seal(m),
		"by another key":      pair(t, c, b.Public()).Seal(m),
		"for another key":     pair(t, a, c.Public()).Seal(m),
		"with another's hint": append(bytes.Clone(good[:headLen]), pair(t, c, b.Public()).Seal(m)[headLen:]...),
	} {
		if got, ok := to.Open(packet); ok {
			t.Errorf("%s: opened as %+v", name, got)
		}
	}
}

func TestOneFormOfEveryMessageOnly(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":                nil,
		"unknown kind":           append([]byte{9}, make([]byte, pingLen-1)...),
		"ping with data":         append(body(Message{Kind: Ping})[:pingLen-1], 1),
		"short pong":             body(Message{Kind: Pong})[:pongLen-1],
		"pong with data":         append(body(Message{Kind: Pong})[:pongLen-1], 1),
		"pong of port 0":         zeroed(body(Message{Kind: Pong, Observed: ap("192.0.2.1:1")}), 1+txLen+16, 1+txLen+18),
		"call with a lost count": append(body(Message{Kind: CallMe}), 1),
		"report with data":       append(body(Message{Kind: Report})[:reportLen-1], 1),
		"sized with data":        append(body(Message{Kind: Sized, Size: 200})[:200-around-1], 1),
		"call of none":           append([]byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, addrLen)...),
		"call of 17":             append([]byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 17}, bytes.Repeat([]byte{1}, 17*addrLen)...),
		"call to multicast":      body(Message{Kind: CallMe, Addrs: []netip.AddrPort{ap("224.0.0.1:1")}}),
	} {
		if m, ok := parse(b); ok {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
}

func zeroed(b []byte, from, to int) []byte {
	clear(b[from:to])
	return b
}

// What filters WireGuard by its first bytes or sizes must not let probes pass.
func TestProbesLookLikeWireGuard(t *testing.T) {
	a, b := keys(t)
	p, m := pair(t, a, b.Public()), messages()
	for name, want := range map[string]uint32{"ping": sealed.Initiation, "pong": sealed.Data, "pong, IPv6": sealed.Data, "call": 0, "full call": 0,
		"report": sealed.Data, "report by relay": 0, "sized": sealed.Data} {
		if got := sealed.Type(p.Seal(m[name])); got != want {
			t.Errorf("a %s looks like type %d, want %d", name, got, want)
		}
	}
	if bytes.Equal(p.Seal(m["ping"])[:8], p.Seal(m["ping"])[:8]) {
		t.Error("two pings show one index")
	}
}

// A message in the form of another kind is none.
func TestEachKindHasItsForm(t *testing.T) {
	a, b := keys(t)
	from, to := pair(t, a, b.Public()), pair(t, b, a.Public())
	for _, form := range []Kind{Ping, Pong, CallMe, Sized} {
		for name, m := range messages() {
			if m.Kind == Report { // has two
				continue
			}
			head := front(form)
			packet := append(head[:], from.outHint[:]...)
			packet = append(packet, make([]byte, nonceLen)...)
			packet = from.out.Seal(packet, packet[headLen:], body(m), packet[:headLen])
			if _, ok := to.Open(packet); ok != (head[0] == front(m.Kind)[0]) {
				t.Errorf("%s in the form of %d: opened %v", name, form, ok)
			}
		}
	}
}

func TestLowOrderKeysAreRefused(t *testing.T) {
	a, _ := keys(t)
	if _, err := NewPair(a, mesh.Key{1}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("NewPair with a low-order point: %v", err)
	}
}

func TestWindow(t *testing.T) {
	var w Window
	for _, tt := range []struct {
		t    uint64
		want bool
	}{{10, true}, {10, false}, {9, true}, {12, true}, {11, true}, {9, false}} {
		if got := w.Take(tt.t); got != tt.want {
			t.Errorf("Take(%d) = %v", tt.t, got)
		}
	}
	for i := range uint64(windowSize) {
		w.Take(1000 + i)
	}
	for _, old := range []uint64{0, 9, 13, 999, 1000} {
		if w.Take(old) {
			t.Errorf("%d was taken after %d newer ones", old, windowSize)
		}
	}
	if len(w.taken) != windowSize {
		t.Errorf("%d times are kept", len(w.taken))
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range messages() {
		f.Add(body(m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parse(b); ok && !bytes.Equal(body(m), b) {
			t.Errorf("%x is read as %+v, which is written as %x", b, m, body(m))
		}
	})
}

func FuzzOpen(f *testing.F) {
	a, b := keys(f)
	from, to := pair(f, a, b.Public()), pair(f, b, a.Public())
	for _, m := range messages() {
		f.Add(from.Seal(m)[headLen:])
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		for _, k := range []Kind{Ping, Pong, CallMe, Sized} {
			head := front(k)
			packet := append(append(head[:], to.hint[:]...), rest...)
			HintOf(packet)
			to.Open(packet)
		}
	})
}
