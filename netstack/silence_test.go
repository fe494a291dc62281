package netstack_test

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/packet"
	"nexd/netstack"
)

// onReset calls do for resets.
func onReset(do func()) func([]byte) {
	return func(b []byte) {
		p, err := packet.ParseIP(b)
		if tcp, ok := packet.ParseTCP(p.Payload()); err == nil && ok && tcp.Flags()&packet.RST != 0 {
			do()
		}
	}
}

// A connection that only receives learns within seconds that its peer does not know it any more, as
// after a restart. One whose peer only says nothing goes on.
func TestAPeerThatForgotTheConnectionIsNoticed(t *testing.T) {
	t.Parallel() // mostly it waits
	p := newPair(t, netstack.Config{})
	connect := func() (forgotten func(), ended chan error) {
		c, s := p.connect(t, addrB4)
		ended = make(chan error, 1)
		go func() {
			b := make([]byte, 10)
			for {
				if _, err := c.Read(b); err != nil {
					ended <- err
					return
				}
			}
		}()
		if _, err := s.Write([]byte("some bytes")); err != nil {
			t.Fatal(err)
		}
		return func() { s.(interface{ SetLinger(int) error }).SetLinger(0); s.Close() }, ended
	}
	_, silent := connect()
	forget, ended := connect()
	eventually.True(t, "the bytes have arrived", func() bool { return p.wire.packets.Load() >= 10 })
	p.wire.down.Store(true)
	lost := make(chan struct{})
	see := onReset(sync.OnceFunc(func() { close(lost) }))
	p.wire.see.Store(&see)
	forget()
	<-lost // the reset
	begun := time.Now()
	p.wire.down.Store(false)
	select {
	case err := <-ended:
		if took := time.Since(begun); !errors.Is(err, syscall.ECONNRESET) || took > 12*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("not noticed within 30 s")
	}
	select {
	case err := <-silent:
		t.Errorf("a connection that is only silent ended: %v", err)
	default:
	}
}
