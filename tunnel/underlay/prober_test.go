package underlay

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"nexd/mesh"
)

// A peer that is made, or wakes, in the very moment when the relay comes up or the map
// changes knows of it.
func TestANewPeerMissesNothing(t *testing.T) {
	const peers = 300
	was, is := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:2")}
	b := offline(t, func(c *Config) { c.Relay = &wire{} })
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
		b.RelayUp(false)
		b.SetPeers(nil)
		var tasks sync.WaitGroup
		half := make(chan struct{})
		tasks.Go(func() {
			for i := range keys {
				set(keys[:i+1], was)
				if i == peers/3 {
					half <- struct{}{}
				}
			}
			tasks.Go(func() {
				for i, k := range keys {
					b.touch(b.peer(k))
					if i == peers/3 {
						half <- struct{}{}
					}
				}
			})
		})
		<-half
		b.RelayUp(true)
		<-half
		set(keys, is)
		tasks.Wait()
		for _, k := range keys {
			p := b.peer(k)
			p.way.mu.Lock()
			now := time.Duration(b.now())
			p.way.paths.Rest()
			out := p.way.paths.Traffic(now, 0)
			if path := p.way.paths.Path(now); !path.Relay {
				t.Errorf("a peer does not know that there is a relay: %+v", path)
			}
			if len(out) != 2 || out[0].To != is[0] {
				t.Errorf("a peer does not know where it is now: %+v", out)
			}
			p.way.mu.Unlock()
		}
		if t.Failed() {
			return
		}
	}
}
