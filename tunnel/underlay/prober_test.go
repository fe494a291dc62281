package underlay

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"nexd/mesh"
)

// A prober that is made in the very moment when the relay comes up, or the map
// changes, knows it.
func TestANewProberMissesNothing(t *testing.T) {
	const peers = 300
	was, is := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:2")}
	b, err := newBind(Config{PrivateKey: newKey(t), Relay: &wire{}}, openUDP)
	if err != nil {
		t.Fatal(err)
	}
	set := func(keys []mesh.Key, at []netip.AddrPort) {
		var all []Peer
		for _, k := range keys {
			all = append(all, Peer{Key: k, Candidates: at})
		}
		b.SetPeers(all)
	}
	for range 5 {
		var keys []mesh.Key
		for range peers {
			keys = append(keys, newKey(t).Public())
		}
		set(keys, was)
		b.RelayUp(false)
		var tasks sync.WaitGroup
		half := make(chan struct{})
		for _, part := range [][]mesh.Key{keys[:peers/2], keys[peers/2:]} {
			tasks.Go(func() {
				for i, k := range part {
					b.prober(b.peer(k))
					if i == len(part)/3 {
						half <- struct{}{}
					}
				}
			})
		}
		b.probes.on.Store(true)
		<-half
		b.RelayUp(true)
		<-half
		set(keys, is)
		tasks.Wait()
		for _, k := range keys {
			pr := b.peer(k).probe.Load()
			pr.mu.Lock()
			now := time.Duration(b.now())
			if path := pr.paths.Path(now); !path.Relay {
				t.Errorf("a prober does not know that there is a relay: %+v", path)
			}
			if out := pr.paths.Traffic(now, 0); len(out) != 2 || out[0].To != is[0] {
				t.Errorf("a prober does not know where its peer is now: %+v", out)
			}
			pr.mu.Unlock()
		}
		if t.Failed() {
			return
		}
	}
}
