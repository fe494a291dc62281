package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"nexd/mesh"
)

// wgData looks like a WireGuard data message.
func wgData(n, size int) []byte {
	p := bytes.Repeat([]byte{byte(n)}, size)
	copy(p, []byte{4, 0, 0, 0, 1, 2, 3, 4})
	binary.LittleEndian.PutUint64(p[8:], uint64(n))
	return p
}

// laid returns packets laid out as a run.
func laid(packets ...[]byte) (b []byte, segment int) {
	for _, p := range packets {
		b = append(append(b, make([]byte, RunRoom)...), p...)
	}
	return b, RunRoom + len(packets[0])
}

func long(t testing.TB, s *sealer, frames []byte) []byte {
	t.Helper()
	d, ok := s.long(nil, frames)
	if !ok {
		t.Fatal("no numbers left")
	}
	return d
}

func TestDatagramsOpenOnceAndInAnyOrder(t *testing.T) {
	id, key := SessionID{1, 2}, [32]byte{3}
	s, o := newSealer(id, key), newOpener(key)
	var sent [][]byte
	for i := range 3000 {
		sent = append(sent, long(t, &s, AppendData(nil, mesh.Key{byte(i)}, []byte("packet"))))
	}
	open := func(i int) (newest bool, err error) {
		d := slices.Clone(sent[i])
		newest, err = o.open(d)
		if err == nil {
			_, body, _, _ := NextFrame(frames(d))
			if k, _, _ := ParseData(body); k[0] != byte(i) {
				t.Errorf("datagram %d says %d", i, k[0])
			}
		}
		return newest, err
	}
	for _, tt := range []struct {
		i         int
		ok, newer bool
	}{
		{0, true, true}, {0, false, false}, {5, true, true}, {3, true, false}, {3, false, false}, {5, false, false},
		{2500, true, true}, {4, false, false}, {600, true, false}, {600, false, false}, {2500, false, false}, {2999, true, true}, {451, false, false}, {952, true, false},
	} {
		newest, err := open(tt.i)
		if (err == nil) != tt.ok || newest != tt.newer {
			t.Errorf("datagram %d: newest %v, %v; want %v, %v", tt.i, newest, err, tt.newer, tt.ok)
		}
		if err != nil && !errors.Is(err, ErrRepeated) {
			t.Errorf("datagram %d: %v", tt.i, err)
		}
	}
	if got, ok := DatagramSession(sent[0]); !ok || got != id {
		t.Errorf("session %x, %v", got, ok)
	}
}

func TestShortDatagramsHoldTheirPackets(t *testing.T) {
	key := [32]byte{3}
	s, o := newSealer(SessionID{1}, key), newOpener(key)
	packets := [][]byte{wgData(1, 1452), wgData(2, 1452), wgData(3, 96)}
	run, segment := laid(packets...)
	if segment != 1472 {
		t.Errorf("a full packet makes a datagram of %d bytes: too long for MTU 1500, or shorter than it could be", segment)
	}
	if ping := long(t, &s, AppendUDPPing(nil, UDPPing{})); len(ping) != segment {
		t.Errorf("a ping makes a datagram of %d bytes, a full packet one of %d", len(ping), segment)
	}
	if !s.short(run, segment, 7) {
		t.Fatal("no numbers left")
	}
	for i := 0; len(run) > 0; i++ {
		d := run[:min(segment, len(run))]
		run = run[len(d):]
		if id, ok := DatagramSession(d); !ok || id != (SessionID{1}) {
			t.Errorf("session %x, %v", id, ok)
		}
		if _, err := o.open(d); err != nil {
			t.Fatal(err)
		}
		if channel, p := message(d); channel != 7 || !bytes.Equal(p, packets[i]) {
			t.Errorf("packet %d: channel %d, %d bytes of %d", i, channel, len(p), len(packets[i]))
		}
	}
}

// WireGuard protects what follows the head of a data message. The MAC covers everything else, and
// the kind and length of the datagram.
func TestEveryByteOfADatagramCounts(t *testing.T) {
	key := [32]byte{3}
	s := newSealer(SessionID{1}, key)
	run, segment := laid(wgData(9, 128))
	s.short(run, segment, 1)
	ping := long(t, &s, AppendUDPPing(nil, UDPPing{Seq: 7, Good: true}))
	for name, tt := range map[string]struct {
		d       []byte
		covered int
	}{"long": {ping, len(ping)}, "short": {run, shortMAC}} {
		opens := func(d []byte, key [32]byte) bool {
			o := newOpener(key)
			_, err := o.open(d)
			return err == nil
		}
		for i := range tt.covered {
			tt.d[i] ^= 1
			if opens(tt.d, key) {
				t.Fatalf("%s: byte %d changed: taken", name, i)
			}
			tt.d[i] ^= 1
		}
		if opens(tt.d, [32]byte{4}) {
			t.Errorf("%s: taken with another key", name)
		}
		if opens(tt.d[:len(tt.d)-16], key) || opens(append(slices.Clone(tt.d), 0), key) {
			t.Errorf("%s: taken at another length", name)
		}
		if !opens(tt.d, key) {
			t.Errorf("%s: not taken as it is", name)
		}
	}
	_, body, _, err := NextFrame(frames(ping))
	if p, ok := ParseUDPPing(body); err != nil || !ok || p != (UDPPing{Seq: 7, Good: true}) {
		t.Errorf("%+v, %v, %v", p, ok, err)
	}
}

func TestNumbersDoNotComeTwice(t *testing.T) {
	key := [32]byte{3}
	s := newSealer(SessionID{1}, key)
	s.last = lastNumber - 3
	run, segment := laid(wgData(1, 64), wgData(2, 64), wgData(3, 64))
	before := slices.Clone(run)
	if s.short(run, segment, 1) || !bytes.Equal(run, before) {
		t.Error("a run was made with numbers that are not left, or was changed")
	}
	for range 3 {
		long(t, &s, AppendUDPPing(nil, UDPPing{}))
	}
	if _, ok := s.long(nil, AppendUDPPing(nil, UDPPing{})); ok {
		t.Error("a datagram without a number")
	}
}

func FuzzOpen(f *testing.F) {
	key := [32]byte{3}
	s := newSealer(SessionID{1}, key)
	f.Add(long(f, &s, AppendData(nil, mesh.Key{1}, []byte("packet"))))
	run, segment := laid(wgData(1, 64))
	s.short(run, segment, 1)
	f.Add(run)
	f.Add([]byte{kindLong})
	f.Fuzz(func(t *testing.T, d []byte) {
		o := newOpener(key)
		sent := bytes.Clone(d)
		if _, err := o.open(d); err != nil {
			return
		}
		if d[0] == kindLong {
			EachFrame(frames(d), func(_ Type, body []byte) error { ParseUDPPing(body); return nil })
		} else {
			message(d)
		}
		if _, err := o.open(sent); err == nil {
			t.Error("opened twice")
		}
	})
}

func BenchmarkShort(b *testing.B) {
	key := [32]byte{3}
	s, o := newSealer(SessionID{1}, key), newOpener(key)
	var packets [][]byte
	for i := range 44 {
		packets = append(packets, wgData(i, 1452))
	}
	run, segment := laid(packets...)
	b.SetBytes(int64(len(run)))
	b.ReportAllocs()
	for b.Loop() {
		s.short(run, segment, 1)
		for at := 0; at < len(run); at += segment {
			if _, err := o.open(run[at : at+segment]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// A ping says which of a run of two it is; both are of one size, as a run has to be.
func TestAPingMayBeARunOfTwo(t *testing.T) {
	size := 0
	for _, want := range []UDPPing{{Seq: 7, Good: true, Proof: 9}, {Seq: 7, Proof: 9, Run: true}, {Seq: 7, Proof: 9, Rest: true}} {
		frame := AppendUDPPing(nil, want)
		_, body, _, err := NextFrame(frame)
		if got, ok := ParseUDPPing(body); err != nil || !ok || got != want {
			t.Errorf("%+v is read as %+v, %v, %v", want, got, ok, err)
		}
		if size != 0 && len(frame) != size {
			t.Errorf("%+v has %d bytes, another ping %d", want, len(frame), size)
		}
		size = len(frame)
	}
}
