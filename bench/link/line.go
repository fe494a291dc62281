package main

import (
	"math/rand/v2"
	"sync"
	"time"
)

// shaper computes when a packet leaves at the far end. It has no clock; the caller passes
// the time as an offset.
type shaper struct {
	delay time.Duration
	loss  float64
	rate  float64 // bytes per second, 0 = unlimited
	limit int     // bytes that may wait
	rng   *rand.Rand

	free time.Duration // when the wire has sent what it has
}

// admit returns the time at which the packet is due, or false if it is lost, at random or
// because the queue is full.
func (s *shaper) admit(now time.Duration, size, waiting int) (due time.Duration, ok bool) {
	if s.loss > 0 && s.rng.Float64() < s.loss || waiting+size > s.limit {
		return 0, false
	}
	sent := now
	if s.rate > 0 {
		sent = max(now, s.free) + time.Duration(float64(size)/s.rate*float64(time.Second))
		s.free = sent
	}
	return sent + s.delay, true
}

// packet is a packet in the queue.
type packet struct {
	due  time.Duration
	data []byte
}

// line is the queue of one direction.
type line struct {
	mu      sync.Mutex
	filled  sync.Cond
	packets []packet
	bytes   int
	shaper  shaper
	spare   [][]byte // buffers for reuse
}

func newLine(s shaper) *line {
	l := &line{shaper: s}
	l.filled.L = &l.mu
	return l
}

// put queues a copy of a packet.
func (l *line) put(now time.Duration, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	due, ok := l.shaper.admit(now, len(data), l.bytes)
	if !ok {
		return
	}
	var buf []byte
	if n := len(l.spare); n > 0 {
		buf, l.spare = l.spare[n-1], l.spare[:n-1]
	}
	l.packets = append(l.packets, packet{due, append(buf[:0], data...)})
	l.bytes += len(data)
	if len(l.packets) == 1 {
		l.filled.Signal()
	}
}

// take moves the packets that are due into out. If none is due, it returns the time until
// one is; if the queue is empty, it waits.
func (l *line) take(now time.Duration, out []packet) (_ []packet, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.packets) == 0 {
		l.filled.Wait()
		return out, 0
	}
	n := 0
	for n < len(l.packets) && n < cap(out) && l.packets[n].due <= now {
		l.bytes -= len(l.packets[n].data)
		n++
	}
	if n == 0 {
		return out, l.packets[0].due - now
	}
	out = append(out, l.packets[:n]...)
	l.packets = l.packets[n:]
	return out, 0
}

// giveBack returns the buffers of sent packets.
func (l *line) giveBack(done []packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range done {
		l.spare = append(l.spare, p.data)
	}
}
