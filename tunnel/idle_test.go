package tunnel_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/tunnel"
)

// strangers are nodes that never run.
func strangers(t *testing.T, n int) map[*node][]netip.AddrPort {
	out := map[*node][]netip.AddrPort{}
	for i := range n {
		out[identity(t, 100+i)] = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}
	}
	return out
}

// plenty is for a machine that is busy with something else.
const plenty = 60 * time.Second

// forgetful is a node that keeps silent peers until drop.
func forgetful(t *testing.T, i int) *node {
	n := identity(t, i)
	n.idle = 100 * time.Millisecond
	n.start(0)
	n.tunl.Keep(time.Hour, 0)
	return n
}

// drop waits until a forgetful node has dropped its peers, whose sessions are good.
func (n *node) drop() {
	n.t.Helper()
	n.tunl.Keep(100*time.Millisecond, 0)
	eventually.Within(n.t, plenty, "the peers dropped", func() bool { return n.tunl.InDevice() == 0 })
	n.tunl.Keep(time.Hour, 0)
}

func TestThePeerIsMadeByTheFirstPacketEitherWay(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	set := strangers(t, 50)
	set[b] = []netip.AddrPort{b.at("127.0.0.1")}
	a.know(set)
	set = strangers(t, 50)
	set[a] = nil
	b.know(set)
	if n, m := a.tunl.InDevice(), b.tunl.InDevice(); n != 0 || m != 0 {
		t.Fatalf("the devices have %d and %d peers before anything was sent", n, m)
	}
	if !a.tunl.Asleep(b.key) {
		t.Error("a peer without traffic is awake")
	}
	var last uint32
	for range 100 { // at once: none may be lost
		last = a.send(b)
	}
	for seq := last - 99; seq <= last; seq++ {
		b.mustGet(seq, plenty)
	}
	mustTalk(a, b, plenty)
	if n, m := a.tunl.InDevice(), b.tunl.InDevice(); n != 1 || m != 1 {
		t.Errorf("the devices have %d and %d peers, want 1 each", n, m)
	}
	if s := b.bind.Stats(); s.UnknownKey != 0 || s.BadInitiation != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestADroppedPeerComesBackWithoutLoss(t *testing.T) {
	leak.Check(t)
	a, b := forgetful(t, 1), forgetful(t, 2)
	introduce(a, b)
	for round := range 3 {
		b.mustGet(a.send(b), plenty)
		a.drop()
		b.drop()
		x, err := a.tunl.Peers()
		if err != nil || len(x) != 1 || !x[0].Asleep || x[0].Tx < uint64(round+1)*148 || x[0].LastHandshake.IsZero() {
			t.Fatalf("a dropped peer's state is %+v, %v", x, err)
		}
	}
}

// The other side keeps its peer, whose session is too old to be used.
func TestOneWhoWasDroppedIsHeard(t *testing.T) {
	leak.Check(t)
	a, b := forgetful(t, 1), newNode(t, 2)
	introduce(a, b)
	for range 2 {
		mustTalk(a, b, plenty)
		a.drop()
		eventually.True(t, "WireGuard, which takes no initiations within 20 ms, takes another", func() bool {
			return time.Since(lastHandshake(b)) > 30*time.Millisecond
		})
		b.tunl.Expire(a.key)
		a.mustGet(b.send(a), plenty)
	}
	if n := b.tunl.InDevice(); n != 1 {
		t.Errorf("%d peers", n)
	}
}

// A peer whose session can be used stays, though nothing moves.
func TestAPeerWithASessionStays(t *testing.T) {
	leak.Check(t)
	a, b := forgetful(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, plenty)
	a.tunl.Keep(50*time.Millisecond, time.Hour)
	for i := range 5 {
		a.tunl.DropIdle(time.Now().Add(time.Duration(10*i) * time.Minute))
		if a.tunl.InDevice() != 1 {
			t.Fatal("a peer with a good session was dropped")
		}
	}
}

// A peer is not dropped while something moves.
func TestABusyPeerStays(t *testing.T) {
	leak.Check(t)
	const idle = time.Second
	a, b := identity(t, 1), newNode(t, 2)
	a.idle = idle
	a.start(0)
	a.tunl.Keep(time.Hour, 0)
	introduce(a, b)
	mustTalk(a, b, plenty)
	a.tunl.Keep(idle, 0)
	for i := range 20 {
		a.mustGet(b.send(a), plenty)
		a.tunl.DropIdle(time.Now().Add(time.Duration(2*i) * idle))
		if a.tunl.InDevice() != 1 {
			t.Fatal("a busy peer was dropped")
		}
	}
}

func TestWhoIsNeverAsleep(t *testing.T) {
	leak.Check(t)
	a := forgetful(t, 1)
	wide, narrow, keep := identity(t, 2), identity(t, 3), identity(t, 4)
	set := []tunnel.Peer{
		{Key: wide.key, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		{Key: narrow.key, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}, // or wide could send from it
		{Key: keep.key, Keepalive: time.Minute},
	}
	if err := a.tunl.SetPeers(set); err != nil {
		t.Fatal(err)
	}
	a.tunl.Keep(50*time.Millisecond, 0)
	for i := range 3 {
		a.tunl.DropIdle(time.Now().Add(time.Duration(i) * time.Hour))
	}
	for _, tt := range []struct {
		n    *node
		want bool
	}{{wide, true}, {narrow, false}, {keep, false}} {
		if got := a.tunl.Asleep(tt.n.key); got != tt.want {
			t.Errorf("%s asleep: %v", tt.n.name, got)
		}
	}
	set[1].AllowedIPs, set[2].Keepalive = nil, 0
	if err := a.tunl.SetPeers(set); err != nil {
		t.Fatal(err)
	}
	eventually.Within(t, plenty, "nobody is there", func() bool { return a.tunl.InDevice() == 0 })
}

// Peers come, go and are woken from all sides while the tunnel closes.
func TestWakingWhileTheSetChangesAndTheDeviceCloses(t *testing.T) {
	leak.Check(t)
	for range 5 {
		a, b := forgetful(t, 1), forgetful(t, 2)
		a.tunl.Keep(time.Millisecond, 0)
		b.tunl.Keep(time.Millisecond, 0)
		introduce(a, b)
		set := []tunnel.Peer{{Key: b.key, AllowedIPs: []netip.Prefix{mesh.HostPrefix(b.v4)}}}
		stop := make(chan struct{})
		var all sync.WaitGroup
		var rounds atomic.Int64
		repeat := func(f func()) {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						f()
						rounds.Add(1)
					}
				}
			})
		}
		push := func(from, to *node) func() {
			p := packet(from.v4, to.v4, 1, 64)
			return func() {
				select {
				case from.tun.out <- p:
				case <-time.After(time.Millisecond):
				}
				select {
				case <-from.tun.in:
				default:
				}
			}
		}
		repeat(push(a, b))
		repeat(push(b, a))
		repeat(func() { // errors of a closed device are no matter
			_ = a.tunl.SetPeers(nil)
			_ = a.tunl.SetPeers(set)
		})
		repeat(func() { a.tunl.Initiate(b.key); a.tunl.Peers() })
		eventually.True(t, "some rounds of everything", func() bool { return rounds.Load() > 500 })
		closed := make(chan struct{})
		go func() { a.tunl.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(plenty):
			t.Fatal("the tunnel does not close")
		}
		close(stop)
		all.Wait()
	}
}
