package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestShaper(t *testing.T) {
	for _, tt := range []struct {
		name  string
		s     shaper
		sizes []int // all at time 0
		want  []time.Duration
	}{
		{"delay only", shaper{delay: 20 * time.Millisecond, limit: 1 << 20}, []int{1500, 1500}, []time.Duration{20 * time.Millisecond, 20 * time.Millisecond}},
		{"rate", shaper{delay: 20 * time.Millisecond, rate: 1000, limit: 1 << 20}, []int{1000, 500}, []time.Duration{1020 * time.Millisecond, 1520 * time.Millisecond}},
		{"loses all", shaper{loss: 0.9999999, limit: 1 << 20, rng: rand.New(rand.NewPCG(1, 1))}, []int{1, 1}, []time.Duration{-1, -1}},
	} {
		for i, size := range tt.sizes {
			due, ok := tt.s.admit(0, size, 0)
			if !ok {
				due = -1
			}
			if due != tt.want[i] {
				t.Errorf("%s: packet %d is due at %v, want %v", tt.name, i, due, tt.want[i])
			}
		}
	}
}

func TestShaperCatchesUp(t *testing.T) {
	s := shaper{rate: 1000, limit: 1 << 20}
	s.admit(0, 1000, 0)
	if due, _ := s.admit(5*time.Second, 1000, 0); due != 6*time.Second {
		t.Errorf("after a pause a packet is due at %v, want 6s", due)
	}
	if _, ok := s.admit(6*time.Second, 10, 1<<20); ok {
		t.Error("a packet was taken by a full queue")
	}
}

func TestLossIsTheShareAskedFor(t *testing.T) {
	s := shaper{loss: 0.01, limit: 1 << 30, rng: rand.New(rand.NewPCG(1, 2))}
	lost := 0
	for range 100_000 {
		if _, ok := s.admit(0, 100, 0); !ok {
			lost++
		}
	}
	if lost < 800 || lost > 1200 {
		t.Errorf("%d of 100000 packets lost at 1 %%", lost)
	}
}

func TestLineKeepsOrderAndTime(t *testing.T) {
	l := newLine(shaper{delay: 10, limit: 250})
	buf := []byte("..........")
	for i := range 3 {
		buf[0] = byte('0' + i)
		l.put(time.Duration(i), buf) // the buffer is the caller's again
	}
	out := make([]packet, 0, 2)
	if got, wait := l.take(5, out); len(got) != 0 || wait != 5 {
		t.Errorf("at 5: %d packets, wait %v", len(got), wait)
	}
	got, wait := l.take(100, out)
	if len(got) != 2 || wait != 0 || got[0].data[0] != '0' || got[1].data[0] != '1' {
		t.Errorf("at 100: %v, wait %v, want the first two", got, wait)
	}
	l.giveBack(got)
	if got, _ := l.take(100, out); len(got) != 1 || got[0].data[0] != '2' || got[0].due != 12 {
		t.Errorf("then %v", got)
	}
	if l.bytes != 0 || len(l.spare) != 2 {
		t.Errorf("%d bytes wait in an empty line, %d spare buffers", l.bytes, len(l.spare))
	}
}

func TestLineDropsWhenFull(t *testing.T) {
	l := newLine(shaper{limit: 250})
	for range 5 {
		l.put(0, make([]byte, 100))
	}
	if len(l.packets) != 2 || l.bytes != 200 {
		t.Errorf("%d packets, %d bytes wait under a limit of 250", len(l.packets), l.bytes)
	}
}

// TestTakeWaitsForAPacket: an empty line blocks, and a packet wakes it.
func TestTakeWaitsForAPacket(t *testing.T) {
	l := newLine(shaper{limit: 100})
	got := make(chan int)
	go func() {
		for {
			if out, _ := l.take(0, make([]packet, 0, 1)); len(out) > 0 {
				got <- len(out[0].data)
				return
			}
		}
	}()
	l.put(0, make([]byte, 7))
	if n := <-got; n != 7 {
		t.Errorf("%d bytes", n)
	}
}

func Example_shaper() {
	s := shaper{delay: 20 * time.Millisecond, rate: 1500 * 1000, limit: 4500} // 1 ms for a packet of 1500 bytes
	for i := range 4 {
		due, ok := s.admit(0, 1500, i*1500)
		fmt.Println(due, ok)
	}
	// Output:
	// 21ms true
	// 22ms true
	// 23ms true
	// 0s false
}
