package splice

import (
	"context"
	"io"
	"runtime"
	"testing"

	"nexd/internal/leak"
)

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the second empties what pools had
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A thousand idle splices after use hold no buffers.
func TestIdleSplicesHoldNoBuffers(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	leak.Check(t)
	const n = 1000
	for name, other := range map[string]func(testing.TB) link{"tcp": tcpLink, "plain": plainLink} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			links := make([]link, 0, 2*n)
			for range n {
				links = append(links, tcpLink(t), other(t))
			}
			before := heap()
			done := make([]<-chan result, 0, n)
			for i := 0; i < len(links); i += 2 {
				a, b := links[i], links[i+1]
				done = append(done, start(ctx, Options{}, a, b))
				go a.peer.Write(make([]byte, 100<<10))
				io.CopyN(io.Discard, b.peer, 100<<10)
				send1(t, b.peer, "x")
				expect(t, a.peer, "x")
			}
			each := (int64(heap()) - int64(before)) / n
			t.Logf("%d bytes of heap per idle splice", each)
			limit := int64(3 << 10)
			if name == "plain" {
				limit += smallSize // it waits with one
			}
			if each > limit {
				t.Errorf("an idle splice holds %d bytes, more than %d", each, limit)
			}
			cancel()
			for _, d := range done {
				await(t, d)
			}
		})
	}
}

// Moving data allocates nothing, whatever the sizes.
func TestMovingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	leak.Check(t)
	for kind, other := range wires {
		t.Run(kind, func(t *testing.T) {
			a, b := tcpLink(t), other(t)
			done := start(t.Context(), Options{}, a, b)
			msg, got := make([]byte, 1000), make([]byte, 1000)
			round := func() {
				a.peer.Write(msg)
				io.ReadFull(b.peer, got)
				b.peer.Write(msg)
				io.ReadFull(a.peer, got)
			}
			round()
			if kind == "mesh" {
				t.Skip("the fake's own ReadFrom allocates")
			}
			if n := testing.AllocsPerRun(500, round); n > 0.5 {
				t.Errorf("%v allocations per exchange", n)
			}
			shut(t, a.peer)
			shut(t, b.peer)
			await(t, done)
		})
	}
}

func BenchmarkDown(b *testing.B) {
	for kind, other := range wires {
		b.Run(kind, func(b *testing.B) { benchmark(b, other, false) })
	}
}

func BenchmarkUp(b *testing.B) {
	for kind, other := range wires {
		b.Run(kind, func(b *testing.B) { benchmark(b, other, true) })
	}
}

// benchmark moves data between a TCP client and the other kind of connection.
func benchmark(b *testing.B, other func(testing.TB) link, up bool) {
	x, y := tcpLink(b), other(b)
	done := start(b.Context(), Options{}, x, y)
	from, to := y.peer, x.peer
	if up {
		from, to = to, from
	}
	chunk := make([]byte, 256<<10)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			from.Write(chunk)
		}
	}()
	buf := make([]byte, 256<<10)
	for left := b.N * len(chunk); left > 0; {
		n, err := to.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		left -= n
	}
	b.StopTimer()
	shut(b, x.peer)
	shut(b, y.peer)
	await(b, done)
}
