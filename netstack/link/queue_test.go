package link

import (
	"sync"
	"testing"
	"testing/synctest"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

func sized(n int) *stack.PacketBuffer {
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(make([]byte, n))})
}

func push(q *queue, n int) bool {
	pkt := sized(n)
	defer pkt.DecRef()
	return q.push(pkt)
}

func TestQueueBlocksAndNeverDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10000, false)
		const writers, each = 5, 100
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if !push(q, 1000) {
						t.Error("push says closed")
					}
				}
			})
		}
		synctest.Wait() // all are blocked
		if n, bytes := q.queued(); n != 10 || bytes != 10000 {
			t.Errorf("full at %d packets, %d bytes", n, bytes)
		}
		if !push(q, smallPacket) {
			t.Error("a small packet is not taken")
		}
		for got := 0; got < writers*each+1; got++ {
			pkt := q.pop(true)
			if pkt == nil {
				t.Fatal("pop says closed")
			}
			pkt.DecRef()
		}
		wg.Wait()
		if pkt := q.pop(false); pkt != nil {
			t.Error("there is one more packet")
		}
	})
}

func TestQueueCountBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1<<30, false)
		done := make(chan bool)
		go func() {
			for range maxQueued + 1 {
				push(q, 40)
			}
			close(done)
		}()
		synctest.Wait()
		if n, _ := q.queued(); n != maxQueued {
			t.Errorf("%d small packets are queued", n)
		}
		q.pop(true).DecRef()
		<-done
		q.close()
	})
}

func TestQueueClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1000, false)
		push(q, 1000)
		blocked := make(chan bool)
		go func() { blocked <- push(q, 1000) }()
		synctest.Wait()
		q.close()
		q.close()
		if <-blocked {
			t.Error("a blocked push succeeded in a closed queue")
		}
		if push(q, 1) || q.pop(true) != nil {
			t.Error("a closed queue takes or gives packets")
		}

		empty := newQueue(1000, false)
		waiting := make(chan *stack.PacketBuffer)
		go func() { waiting <- empty.pop(true) }()
		synctest.Wait()
		empty.close()
		if <-waiting != nil {
			t.Error("a closed queue gave a packet")
		}
	})
}

func TestLossyQueue(t *testing.T) {
	q := newQueue(1000, true)
	for range 3 {
		if !push(q, 600) {
			t.Error("push says closed")
		}
	}
	if n, _ := q.queued(); n != 2 {
		t.Errorf("%d packets are queued, want 2 of 3", n)
	}
	q.close()
}
