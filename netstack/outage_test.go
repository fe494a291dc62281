package netstack_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"nexd/netstack"
)

// talk sends a word there and back every 10 ms until stop, and says when the last
// one came back.
type talk struct {
	mu   sync.Mutex
	last time.Time
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
		}
	}()
	var b [8]byte
	for {
		if _, err := io.ReadFull(client, b[:]); err != nil {
			return
		}
		k.mu.Lock()
		k.last = time.Now()
		k.mu.Unlock()
	}
}

// After an outage connections that carry little, but often, go on within about as
// long as it lasted, however large their congestion window was.
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
	time.Sleep(time.Second)
	p.wire.down.Store(true)
	time.Sleep(outage)
	p.wire.down.Store(false)
	healed := time.Now()
	for i := range talks {
		k := &talks[i]
		for {
			k.mu.Lock()
			last := k.last
			k.mu.Unlock()
			if last.After(healed) {
				break
			}
			if time.Since(healed) > 2*outage {
				t.Errorf("connection %d is silent %v after an outage of %v", i, time.Since(healed), outage)
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	close(stop)
	wg.Wait()
}

// A writer that is held back hears of the connection's end.
func TestAWriterHeldBackHearsTheEnd(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, _ := p.connect(t, addrB4)
	p.wire.down.Store(true)
	failed := make(chan error, 1)
	go func() {
		for {
			if _, err := client.Write([]byte("12345678")); err != nil {
				failed <- err
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	time.Sleep(2500 * time.Millisecond) // the timer fires ever more seldom
	p.a.Close()
	select {
	case <-failed:
	case <-time.After(10 * time.Second):
		t.Error("a write goes on after the stack was closed")
		client.Close()
	}
}
