package netstack_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/netstack"
)

// talk sends a word there and back every 10 ms until stop, and notes when the last one
// came back.
type talk struct {
	sent  atomic.Int32 // words
	words atomic.Int32 // that came back
	mu    sync.Mutex
	last  time.Time
}

func (k *talk) run(client, server net.Conn, stop <-chan struct{}) {
	go func() { io.Copy(server, server); server.Close() }()
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				client.Close()
				return
			case <-tick.C:
			}
			if _, err := client.Write([]byte("12345678")); err != nil {
				return
			}
			k.sent.Add(1)
		}
	}()
	var b [8]byte
	for {
		if _, err := io.ReadFull(client, b[:]); err != nil {
			return
		}
		k.words.Add(1)
		k.mu.Lock()
		k.last = time.Now()
		k.mu.Unlock()
	}
}

// After an outage, connections that carry little data but often go on within twice the
// time that the outage lasted, however large their congestion window was.
func TestConnectionsGoOnAfterAnOutage(t *testing.T) {
	const conns, outage = 20, 2400 * time.Millisecond
	p := newPair(t, netstack.Config{})
	p.wire.delay.Store(int64(2 * time.Millisecond))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	talks := make([]talk, conns)
	for i := range talks {
		c, s := p.connect(t, addrB4)
		wg.Go(func() { talks[i].run(c, s, stop) })
	}
	eventually.True(t, "fifty words on each connection", func() bool {
		for i := range talks {
			if talks[i].words.Load() < 50 {
				return false
			}
		}
		return true
	})
	p.wire.down.Store(true)
	time.Sleep(outage)
	p.wire.down.Store(false)
	healed := time.Now()
	for i := range talks {
		k := &talks[i]
		eventually.Within(t, time.Until(healed.Add(2*outage)), fmt.Sprintf("connection %d carries data after an outage of %v", i, outage), func() bool {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.last.After(healed)
		})
	}
	close(stop)
	wg.Wait()
}

// A connection whose congestion window has room for every word of an outage would send
// them all into the void, and then get them through a few at a time. Those that were
// written are back within twice the time that the outage lasted.
func TestConnectionsCatchUpAfterAnOutage(t *testing.T) {
	const conns, outage = 10, 2400 * time.Millisecond
	p := newPair(t, netstack.Config{})
	p.wire.delay.Store(int64(2 * time.Millisecond))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	talks := make([]*talk, conns)
	for i := range talks {
		c, s := p.connect(t, addrB4)
		talks[i] = new(talk)
		wg.Go(func() { talks[i].run(c, s, stop) })
	}
	eventually.True(t, "a congestion window of three hundred words on each connection", func() bool {
		return !slices.ContainsFunc(talks, func(k *talk) bool { return k.words.Load() < 300 })
	})
	p.wire.down.Store(true)
	time.Sleep(outage)
	p.wire.down.Store(false)
	healed := time.Now()
	for i := range talks {
		written := talks[i].sent.Load()
		eventually.Within(t, time.Until(healed.Add(2*outage)), fmt.Sprintf("connection %d has caught up with %d words", i, written), func() bool {
			return talks[i].words.Load() >= written
		})
	}
	close(stop)
	wg.Wait()
}

// A stalled writer gets an error when the connection ends.
func TestAWriterHeldBackHearsTheEnd(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, _ := p.connect(t, addrB4)
	p.wire.down.Store(true)
	failed := make(chan error, 1)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := client.Write([]byte("12345678")); err != nil {
				failed <- err
				return
			}
		}
	}()
	before := p.a.Stats().TCPTimeouts // they come ever more seldom
	eventually.Within(t, time.Minute, "the retransmission timer fires three times", func() bool { return p.a.Stats().TCPTimeouts >= before+3 })
	p.a.Close()
	select {
	case <-failed:
	case <-time.After(10 * time.Second):
		t.Error("a write goes on after the stack was closed")
		client.Close()
	}
}
