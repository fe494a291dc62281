package datagram_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"nexd/internal/datagram"
	"nexd/internal/leak"
)

func TestWaiterWaitsForAHostSocket(t *testing.T) {
	leak.Check(t)
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	wait := datagram.Waiter(c)
	woke := make(chan error)
	go func() { woke <- wait() }()
	if _, err := c.WriteTo([]byte("x"), c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := <-woke; err != nil {
		t.Errorf("wait = %v", err)
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, _, err := c.ReadFrom(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("the waiting took the datagram away: %d, %v", n, err)
	}
	go func() { woke <- wait() }()
	c.Close()
	if err := <-woke; !errors.Is(err, net.ErrClosed) && err != nil {
		t.Errorf("wait on a closed socket = %v", err)
	}
}

type own struct{ error }

func (o own) WaitReadable() error { return o.error }

func TestWaiterOfOthers(t *testing.T) {
	mark := errors.New("mine")
	if err := datagram.Waiter(own{mark})(); err != mark {
		t.Errorf("a conn's own WaitReadable is not used: %v", err)
	}
	if err := datagram.Waiter("no socket")(); err != nil {
		t.Errorf("what cannot wait must not fail: %v", err)
	}
}

func ExamplePool() {
	var pool datagram.Pool
	b := pool.Get()
	n := copy(b[:], "hello")
	fmt.Println(len(b), string(b[:n]))
	pool.Put(b)
	// Output: 65535 hello
}
