package accept_test

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/accept"
)

// Processes that start meanwhile do not keep the address of a closed listener for long.
func TestClaimOutlastsChildrenThatStart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var children sync.WaitGroup
	defer children.Wait()
	defer close(done)
	children.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			p, err := os.StartProcess(self, []string{self, "-test.list=^$"}, &os.ProcAttr{})
			if err != nil {
				t.Error(err)
				return
			}
			p.Wait()
		}
	})
	addr := "127.0.0.1:0"
	for i := range 300 {
		ln, err := accept.Claim(func() (net.Listener, error) { return net.Listen("tcp", addr) })
		if err != nil {
			t.Fatalf("after %d rounds: %v", i, err)
		}
		addr = ln.Addr().String()
		ln.Close()
	}
}

func TestClaimGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		inUse := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
		if _, err := accept.Claim(func() (int, error) { return 0, inUse }); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("an address in use: %v", err)
		}
		if took := time.Since(began); took < 250*time.Millisecond || took > time.Second {
			t.Errorf("it gave up after %v", took)
		}
		began = time.Now()
		if _, err := accept.Claim(func() (int, error) { return 0, net.ErrClosed }); !errors.Is(err, net.ErrClosed) || time.Since(began) > 0 {
			t.Errorf("another error: %v after %v", err, time.Since(began))
		}
	})
}
