package datapath

import (
	"context"
	"net/netip"
	"sync"

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
}

func newPathSizes() pathSizes {
	return pathSizes{paths: new(fit.Sizes), changed: make(chan struct{}, 1), largest: map[mesh.Key]int{}}
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
	if len(s.largest) == 0 || s.view == nil {
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
	return out
}

// resize tells the upper end of changed sizes, until ctx ends. In userspace mode the stack asks.
func (d *Path) resize(ctx context.Context) error {
	end, ok := d.end.(resizer)
	if !ok {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.sizes.changed:
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
