package router

import (
	"testing"
	"time"

	"nexd/internal/budget"
	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// When the memory of the process is taken, a new flow is refused without a dial, and the memory of
// ended flows is free again.
func TestAtTheMemoryLimitFlowsAreRefusedBeforeADial(t *testing.T) {
	leak.Check(t)
	w, memory := newWorld(), budget.New(budget.TCP)
	r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial, Budget: memory})
	defer stop()
	first := tcpFlow(peer, "172.24.0.10:80")
	r.TCP(first)
	if got := <-first.ch; got != "accept" {
		t.Fatalf("the first flow: %s", got)
	}
	dials := len(w.dialled())
	tcp, udp, ping := tcpFlow(other, "172.24.0.10:80"), udpFlow(other, "172.24.0.10:53"), echoTo("100.64.0.3", "172.24.0.10")
	r.TCP(tcp)
	r.UDP(udp)
	r.Echo(ping)
	if a, b, c := <-tcp.ch, <-udp.ch, <-ping.ch; a != "refuse" || b != "drop" || c != "drop" || len(w.dialled()) != dials {
		t.Errorf("at the limit: TCP %s, UDP %s, ping %s, %d dials", a, b, c, len(w.dialled())-dials)
	}
	if s := r.Stats(); s.Exhausted != 3 || s.TCP != 1 {
		t.Errorf("%+v", s)
	}
	first.client.Close()
	eventually.Within(t, 10*time.Second, "memory is given back", func() bool { return memory.Held() == 0 })
}
