package router

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// dials is the number of incomplete connections of all peers.
func dials(r *Router) (n int) {
	r.accounts.mu.Lock()
	defer r.accounts.mu.Unlock()
	for _, p := range r.accounts.peers {
		n += p.dials
	}
	return n
}

// silentTCP is a flow of a client that never confirms the handshake.
type silentTCP struct{ *fakeTCP }

func (f silentTCP) Accept(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	f.say("unconfirmed")
	return nil, ctx.Err()
}

// A peer alone gets three quarters of the sockets; two that take what they can get leave a
// seventh; and a third one still gets its share of that.
func TestSocketsAreShared(t *testing.T) {
	a := newAccounts(Limits{Sockets: 7000}.withDefaults())
	fill := func(peer string) (n int) {
		for a.takeSocket(peer) {
			n++
		}
		return n
	}
	if n := fill("evil"); n != 5250 {
		t.Errorf("alone: %d of 7000, want 5250", n)
	}
	for range 1250 {
		a.giveSocket("evil")
	}
	for range 5000 { // both go on and on
		fill("worse")
		a.giveSocket("evil")
		fill("evil")
	}
	evil, all := a.held("evil", sockets)
	if free := 7000 - all; free < 1000 || evil > 3003 {
		t.Errorf("of two floods, one has %d, and %d sockets are free; want 3000 and 1000", evil, free)
	}
	if n := fill("guest"); n < 700 {
		t.Errorf("beside two floods: %d sockets, want 700 or more", n)
	}
	for range evil {
		a.giveSocket("evil")
	}
	if n := fill("guest"); n < 1500 {
		t.Errorf("after one flood has ended: %d more, want 1500 or more", n)
	}
}

// UDP flows share the sockets with connections.
func TestUDPFlowsShareTheSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial, Limits: Limits{Sockets: 4}})
		defer stop()
		for i, want := range []string{"accept", "accept", "accept", "drop"} {
			f := udpFlow(fmt.Sprintf("100.64.0.2:%d", 1000+i), "172.24.0.10:9")
			r.UDP(f)
			if got := <-f.ch; got != want {
				t.Errorf("flow %d: %s, want %s", i, got, want)
			}
		}
		for from, want := range map[string]string{peer: "refuse", other: "accept"} {
			f := tcpFlow(from, "172.24.0.10:80")
			go r.TCP(f)
			if got := <-f.ch; got != want {
				t.Errorf("connection of %s: %s, want %s", from, got, want)
			}
			f.client.Close()
		}
	})
}

// A peer floods an open port with SYNs and never confirms a handshake. It gets a quarter of the
// incomplete connections, and other peers connect at once.
func TestASYNFloodOfOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
		defer stop()
		first := tcpFlow(peer, "172.24.0.10:80")
		go r.TCP(first)
		<-first.ch
		for i := range 5000 {
			go r.TCP(silentTCP{tcpFlow(fmt.Sprintf("100.64.0.2:%d", 10000+i), "172.24.0.10:80")})
		}
		synctest.Wait()
		if n := len(w.dialled()) - 1; n != 256 {
			t.Errorf("the flood holds %d sockets of the target, want 256", n)
		}
		for range 100 {
			f, began := tcpFlow(other, "172.24.0.10:80"), time.Now()
			go r.TCP(f)
			if got := <-f.ch; got != "accept" || time.Since(began) != 0 {
				t.Fatalf("another peer: %s after %v", got, time.Since(began))
			}
		}
		lines := r.Problems()
		if len(lines) != 1 || !strings.Contains(lines[0].String(), "100.64.0.2 has too many incomplete connections, the latest to 172.24.0.10:80") {
			t.Errorf("trouble: %q", lines)
		}
		time.Sleep(2 * time.Minute)
		if dials(r) != 0 || len(r.Problems()) != 0 {
			t.Errorf("after the flood: %d dials, trouble %q", dials(r), r.Problems())
		}
	})
}

// A burst of connections to a target that nobody has used yet: none is turned away, and no more
// than 32 are dialled at a time until the target has answered.
func TestABurstToANewTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var at, most atomic.Int32
		slow := func(ctx context.Context, network, address string) (net.Conn, error) {
			if n := at.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer at.Add(-1)
			time.Sleep(10 * time.Millisecond)
			return w.dial(ctx, network, address)
		}
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: slow})
		defer stop()
		var flows []*fakeTCP
		began := time.Now()
		for range 1000 {
			f := tcpFlow(peer, "172.24.0.10:80")
			flows = append(flows, f)
			go r.TCP(f)
		}
		synctest.Wait()
		if n := most.Load(); n != 32 {
			t.Errorf("%d dials to a target that has not answered, want 32", n)
		}
		for _, f := range flows {
			if got := <-f.ch; got != "accept" {
				t.Fatalf("one of a burst: %s", got)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the last one waited %v", took)
		}
		for _, f := range flows {
			f.client.Close()
		}
	})
}

// Flows that wait for a target that turns out to be dead get its outcome.
func TestABurstToADeadTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.kill("172.24.0.9", true)
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
		defer stop()
		began := time.Now()
		var flows []*fakeTCP
		for i := range 500 {
			f := tcpFlow(peer, "172.24.0.9:80")
			flows = append(flows, f)
			if i%5 == 4 { // leaves while it waits
				time.AfterFunc(time.Second, func() { close(f.gone) })
			}
			go r.TCP(f)
		}
		for _, f := range flows {
			if got := <-f.ch; got != "drop" || time.Since(began) > 12*time.Second {
				t.Fatalf("%s after %v", got, time.Since(began))
			}
		}
		synctest.Wait()
		if n := len(r.accounts.peers); n != 0 {
			t.Errorf("%d accounts left open", n)
		}
	})
}

// A dial that fails while others succeed does not make the target dead for everybody.
func TestASlowTargetIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(5 * time.Second)
		h.report(ap("172.24.0.9:80"), connected, 0)
		time.Sleep(time.Second)
		h.report(ap("172.24.0.9:80"), timedOut, 10*time.Second)
		if _, dial, proven := h.ask(ap("172.24.0.9:80")); !dial || !proven {
			t.Error("a target that answered during the dial counts as dead")
		}
		time.Sleep(11 * time.Second)
		h.report(ap("172.24.0.9:80"), timedOut, 10*time.Second)
		if _, dial, _ := h.ask(ap("172.24.0.9:80")); dial {
			t.Error("a target that did not answer during the dial counts as alive")
		}
	})
}

// At the end of a peer's share, status says whose it is and what to do, for half a minute.
func TestTheEndOfAShareIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial, Limits: Limits{Sockets: 4}})
		defer stop()
		var held []*fakeTCP
		for i := range 4 {
			f := tcpFlow(peer, "172.24.0.10:80")
			held = append(held, f)
			go r.TCP(f)
			want := "accept"
			if i == 3 {
				want = "refuse"
			}
			if got := <-f.ch; got != want {
				t.Errorf("connection %d: %s, want %s", i+1, got, want)
			}
		}
		lines := r.Problems()
		if len(lines) != 1 || !strings.Contains(lines[0].String(), "100.64.0.2 holds 3 of 4 sockets of this router, and all peers 3; more need a higher limit of open files") {
			t.Errorf("trouble: %q", lines)
		}
		time.Sleep(troubleLife + time.Second)
		if lines := r.Problems(); len(lines) != 0 {
			t.Errorf("later: %q", lines)
		}
		for _, f := range held {
			f.client.Close()
		}
	})
}
