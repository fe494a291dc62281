package pace_test

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/tunnel/pace"
)

// endless is a device that always has a packet, and takes any.
type endless struct{ tun.Device }

func (endless) Read(bufs [][]byte, sizes []int, _ int) (int, error) {
	for i := range bufs {
		sizes[i] = 1
	}
	return len(bufs), nil
}
func (endless) Write(bufs [][]byte, _ int) (int, error) { return len(bufs), nil }
func (endless) Close() error                            { return os.ErrClosed }

var bufs, sizes = make([][]byte, 10), make([]int, 10)

// elapsed is how long f takes by the clock of the bubble.
func elapsed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func TestReadWaitsForTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := pace.New(endless{}, pace.Limits{Out: 20})
		read := func() { d.Read(bufs, sizes, 0) }
		if took := elapsed(func() { read(); read() }); took != 0 {
			t.Errorf("the first 20 packets took %v", took)
		}
		go func() { time.Sleep(time.Millisecond); d.Sent(10) }()
		if took := elapsed(read); took != time.Millisecond {
			t.Errorf("a Read beyond the limit took %v, want until something was sent, 1ms", took)
		}
	})
}

func TestReceivingWaitsForTheDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := pace.New(endless{}, pace.Limits{In: 20})
		one, two := d.Admitter(), d.Admitter()
		d.Received(30)
		done := make(chan time.Duration, 2)
		for _, admit := range []func(){one, two} {
			go func() { done <- elapsed(admit) }()
		}
		time.Sleep(time.Millisecond)
		d.Write(bufs, 0) // 20 left
		time.Sleep(time.Millisecond)
		d.Write(bufs, 0) // 10 left
		for range 2 {
			if took := <-done; took != 2*time.Millisecond {
				t.Errorf("a receiver waited %v, want 2ms", took)
			}
		}
	})
}

// Packets that WireGuard drops never arrive anywhere.
func TestLostPacketsAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := pace.New(endless{}, pace.Limits{Out: 20, In: 20})
		for range 3 {
			d.Read(bufs, sizes, 0)
		}
		d.Received(20)
		if took := elapsed(d.Admitter()); took <= 0 || took > 10*time.Millisecond {
			t.Errorf("a receiver waited %v for packets that never come", took)
		}
		d.Write(bufs, 0) // comes late: the count must not fall below nothing
		d.Received(20)
		if took := elapsed(d.Admitter()); took == 0 {
			t.Error("a late packet counted twice")
		}
	})
}

func TestCloseEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := pace.New(endless{}, pace.Limits{In: 1})
		d.Received(1)
		go d.Close()
		if took := elapsed(d.Admitter()); took != 0 {
			t.Errorf("Close ended a wait after %v", took)
		}
		d.Close()
	})
}

func BenchmarkReadAndSent(b *testing.B) {
	d := pace.New(endless{}, pace.Limits{})
	b.ReportAllocs()
	for b.Loop() {
		d.Read(bufs, sizes, 0)
		d.Sent(10)
	}
}
