package underlay

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/internal/sealed"
)

// taken is what one call of receive brought.
func taken(t *testing.T, q *arrivals, room int) (sizes []int, from []conn.Endpoint, data int) {
	t.Helper()
	bufs, all, eps := make([][]byte, room), make([]int, room), make([]conn.Endpoint, room)
	for i := range bufs {
		bufs[i] = make([]byte, relayPacket)
	}
	n, data, err := q.receive(make(chan struct{}), bufs, all, eps)
	if err != nil {
		t.Fatal(err)
	}
	return all[:n], eps[:n], data
}

func (q *arrivals) of(from *endpoint, sizes ...int) *arrival {
	a := q.arrival(from)
	for _, n := range sizes {
		a.add(message(sealed.Data, n, 1))
	}
	return a
}

func TestArrivalsComeInOrderHoweverManyFit(t *testing.T) {
	q := newArrivals()
	a, b := &endpoint{relay: true}, &endpoint{relay: true}
	var want []int
	for i := range 5 {
		from := a
		if i%2 == 1 {
			from = b
		}
		sizes := []int{100 + i, 200 + i, 300 + i, 32}
		want = append(want, sizes...)
		if !q.put(q.of(from, sizes...)) {
			t.Fatal("no room")
		}
	}
	var got []int
	data := 0
	for len(got) < len(want) {
		sizes, from, d := taken(t, &q, 3)
		for i, ep := range from {
			if at := (len(got) + i) / 4; ep != []*endpoint{a, b}[at%2] {
				t.Errorf("packet %d is another's", len(got)+i)
			}
		}
		got = append(got, sizes...)
		data += d
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("sizes %v, want %v", got, want)
		}
	}
	if data != 15 || q.queued.Load() != 0 || q.partial != nil {
		t.Errorf("%d of 15 go further than WireGuard; %d held", data, q.queued.Load())
	}
}

func TestArrivalsWaitAMomentForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newArrivals()
		e := &endpoint{relay: true}
		sizes := make([]int, relayQueue)
		for i := range sizes {
			sizes[i] = 64
		}
		q.put(q.of(e, sizes...))
		began := time.Now()
		if q.put(q.of(e, 64)) || time.Since(began) != relayWait {
			t.Errorf("taken where there was no room, or after %v", time.Since(began))
		}
		done := make(chan bool)
		go func() { done <- q.put(q.of(e, 64, 64)) }()
		synctest.Wait()
		taken(t, &q, 3)
		if !<-done || time.Since(began) != relayWait {
			t.Errorf("not taken as soon as there was room: %v", time.Since(began))
		}
		n := 0
		for n < relayQueue-3+2 {
			sizes, _, _ := taken(t, &q, 128)
			n += len(sizes)
		}
		if n != relayQueue-1 || q.queued.Load() != 0 {
			t.Errorf("%d came, %d are held", n, q.queued.Load())
		}
	})
}

func TestArrivalsEndWithTheBind(t *testing.T) {
	q := newArrivals()
	closed := make(chan struct{})
	close(closed)
	if _, _, err := q.receive(closed, make([][]byte, 1), make([]int, 1), make([]conn.Endpoint, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
