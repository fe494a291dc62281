package forward

import (
	"bytes"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// Three hundred silent clients and two hundred that send resets delay nobody, and leave nothing
// behind.
func TestSilentAndResettingClients(t *testing.T) {
	leak.Check(t)
	mesh := newMesh()
	mesh.names["node1:80"] = doubler(t)
	f, _ := running(t, mesh.config(), "0:node1:80")
	addr := f.Status()[0].Listening[0]
	exchange(t, addr, 80)
	files := descriptors()
	var silent []net.Conn
	for range 300 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	prompt := func(while string) {
		begin := time.Now()
		exchange(t, addr, 8<<10)
		// e2e requires one second of the binary. A forward that serves clients one after the other
		// would wait for the silent ones for ever.
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s: another client waited %v", while, took)
		}
	}
	prompt("300 silent clients")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 0 {
				c.Write(bytes.Repeat([]byte("x"), 100<<10))
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		})
	}
	prompt("200 resets")
	wg.Wait()
	for _, c := range silent {
		c.Close()
	}
	eventually.True(t, "every connection is gone", func() bool { return f.Status()[0].Active == 0 })
	eventually.True(t, "every descriptor is back", func() bool { return descriptors() <= files })
	prompt("afterwards")
}

// descriptors counts the descriptors of this process, where the system permits.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
