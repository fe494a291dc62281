package datapath

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"

	"nexd/mesh"
	"nexd/netmap"
	"nexd/tunnel/fit"
)

// pathSizes joins the sizes that the underlay measures for peers with the addresses that the network
// map gives them.
type pathSizes struct {
	paths   *fit.Sizes
	changed chan struct{} // holds one token for Path.resize

	mu      sync.Mutex // guards what follows
	view    *netmap.View
	largest map[mesh.Key]int // of narrow paths only
	learned map[netip.Addr]learned
}

// learned is what an ICMP error said of the way to one address behind a peer.
type learned struct {
	size  int
	until time.Time
}

const (
	learnedLife = 10 * time.Minute // RFC 8201, section 4
	mostLearned = 1024             // of addresses; a forgotten one costs a datagram
	expireEvery = time.Minute
)

func newPathSizes() pathSizes {
	return pathSizes{paths: new(fit.Sizes), changed: make(chan struct{}, 1), largest: map[mesh.Key]int{}, learned: map[netip.Addr]learned{}}
}

// setView takes the addresses of another network map.
func (s *pathSizes) setView(v *netmap.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = v
	was := s.largest
	if len(was) == 0 {
		return
	}
	s.largest = map[mesh.Key]int{}
	for i := range v.Peers {
		if size, ok := was[v.Peers[i].Key]; ok {
			s.largest[v.Peers[i].Key] = size
		}
	}
	s.apply()
}

// set takes the largest packet that the path to a peer carries; 0: no limit is known.
func (s *pathSizes) set(key mesh.Key, largest int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if largest <= 0 {
		delete(s.largest, key)
	} else {
		s.largest[key] = largest
	}
	s.apply()
}

// learn takes the size of the largest packet that passes to an address.
func (s *pathSizes) learn(to netip.Addr, size int) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.learned[to]
	if !known && len(s.learned) >= mostLearned {
		clear(s.learned)
	}
	s.learned[to] = learned{size, now.Add(learnedLife)}
	if was.size != size {
		s.apply()
	}
}

// expire forgets what was learned long ago.
func (s *pathSizes) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.learned)
	maps.DeleteFunc(s.learned, func(_ netip.Addr, l learned) bool { return now.After(l.until) })
	if len(s.learned) != before {
		s.apply()
	}
}

// apply sets the sizes; the caller holds mu.
func (s *pathSizes) apply() {
	s.paths.Set(s.sizes())
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// sizes are the sizes by prefix. While a path is narrow they include the other peers, whose prefixes
// may lie inside a narrow peer's. The caller holds mu.
func (s *pathSizes) sizes() (out []fit.Size) {
	if s.view == nil || len(s.largest)+len(s.learned) == 0 {
		return nil
	}
	for i := range s.view.Peers {
		p := &s.view.Peers[i]
		for _, prefixes := range [][]netip.Prefix{netmap.HostPrefixes(p.Addresses), p.Prefixes} {
			for _, prefix := range prefixes {
				out = append(out, fit.Size{Prefix: prefix, Largest: s.largest[p.Key]})
			}
		}
	}
	for to, l := range s.learned {
		size := l.size
		if owner := s.view.Find(to).Node; owner != nil && s.largest[owner.Key] > 0 {
			size = min(size, s.largest[owner.Key])
		}
		out = append(out, fit.Size{Prefix: netip.PrefixFrom(to, to.BitLen()), Largest: size})
	}
	return out
}

// resize tells the upper end of changed sizes, until ctx ends. In userspace mode the stack asks.
func (d *Path) resize(ctx context.Context) error {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	end, _ := d.end.(resizer)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			d.sizes.expire(now)
			continue
		case <-d.sizes.changed:
		}
		if end == nil {
			continue
		}
		d.sizes.mu.Lock()
		sizes := d.sizes.sizes()
		d.sizes.mu.Unlock()
		if err := end.resize(sizes); err != nil {
			d.log.Warn("the size of packets to some nodes could not be set", "err", err)
		}
	}
}

// Largest is the size of the largest packet that the path to a peer carries; 0: no limit below the
// MTU is known.
func (d *Path) Largest(key mesh.Key) int {
	d.sizes.mu.Lock()
	defer d.sizes.mu.Unlock()
	return d.sizes.largest[key]
}
