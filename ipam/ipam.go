package ipam

import (
	"context"
	"net/netip"
	"time"

	"nexd/mesh"
)

// Defaults of Config.
const (
	DefaultRest        = 24 * time.Hour
	DefaultMaxPrefixes = 256
)

// scanPage is how many records the search for a gap reads at once.
const scanPage = 1024

// Config is one organization as ipam sees it.
type Config struct {
	Organization string         // name, for error texts
	Pools        []netip.Prefix // a node gets one address of each pool
	Rest         time.Duration  // how long a released address stays unused; 0 = DefaultRest
	MaxPrefixes  int            // how many prefixes one node may hold; 0 = DefaultMaxPrefixes
}

// Allocator applies the rules to one organization's ledger. It keeps no state.
type Allocator struct {
	ledger Ledger
	cfg    Config
}

// New makes an Allocator over a ledger.
func New(ledger Ledger, cfg Config) *Allocator {
	if cfg.Rest == 0 {
		cfg.Rest = DefaultRest
	}
	if cfg.MaxPrefixes == 0 {
		cfg.MaxPrefixes = DefaultMaxPrefixes
	}
	return &Allocator{ledger: ledger, cfg: cfg}
}

// Allocate gives owner one address of every pool, in the order of the pools. An owner
// keeps the addresses that it has. A pool without a free address is a mesh.Exhausted
// error.
func (a *Allocator) Allocate(ctx context.Context, owner mesh.NodeID, now time.Time) ([]netip.Addr, error) {
	if owner == "" {
		return nil, mesh.Errorf(mesh.Invalid, "ipam: an address needs an owner")
	}
	addrs := make([]netip.Addr, 0, len(a.cfg.Pools))
	for _, pool := range a.cfg.Pools {
		addr, ok, err := a.ledger.AddressOf(ctx, owner, pool)
		if err != nil {
			return nil, err
		}
		if !ok {
			if addr, err = a.free(ctx, pool, now); err != nil {
				return nil, err
			}
			if err := a.ledger.ClaimAddress(ctx, addr, owner); err != nil {
				return nil, err
			}
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// Free releases owner's addresses. No node gets them before they have rested.
func (a *Allocator) Free(ctx context.Context, owner mesh.NodeID, now time.Time) error {
	return a.ledger.RestAddresses(ctx, owner, now)
}

// free is the address after the highest one ever used, or the lowest gap if the pool
// is used up to its end.
func (a *Allocator) free(ctx context.Context, pool netip.Prefix, now time.Time) (netip.Addr, error) {
	first, last, ok := usable(pool)
	if !ok {
		return netip.Addr{}, mesh.Errorf(mesh.Exhausted, "ipam: no free address in %v: it is too small", pool)
	}
	top, found, err := a.ledger.LastAddress(ctx, pool)
	switch {
	case err != nil:
		return netip.Addr{}, err
	case !found:
		return first, nil
	case top.Less(last):
		return top.Next(), nil
	}
	return a.gap(ctx, pool, first, last, now)
}

// gap is the lowest address from first to last that has no record or has rested.
func (a *Allocator) gap(ctx context.Context, pool netip.Prefix, first, last netip.Addr, now time.Time) (netip.Addr, error) {
	want := first
	for {
		page, err := a.ledger.ScanAddresses(ctx, pool, want, scanPage)
		if err != nil {
			return netip.Addr{}, err
		}
		for _, rec := range page {
			rested := rec.Owner == "" && now.Sub(rec.Released) >= a.cfg.Rest
			if want.Less(rec.Addr) || rested {
				return want, nil
			}
			if rec.Addr == last {
				return netip.Addr{}, mesh.Errorf(mesh.Exhausted, "ipam: no free address in %v", pool)
			}
			want = rec.Addr.Next()
		}
		if len(page) < scanPage {
			return want, nil
		}
	}
}

// Check is the function Check for this organization's pools.
func (a *Allocator) Check(p netip.Prefix) error { return Check(p, a.cfg.Pools...) }

// Hold makes owner the holder of p. It does nothing if owner already holds p. Any other
// overlap with a held prefix, even one of owner's own, is a *ConflictError.
func (a *Allocator) Hold(ctx context.Context, p netip.Prefix, owner mesh.NodeID) error {
	if owner == "" {
		return mesh.Errorf(mesh.Invalid, "ipam: prefix %v needs an owner", p)
	}
	if err := a.Check(p); err != nil {
		return err
	}
	h, found, err := a.ledger.Overlapping(ctx, p)
	switch {
	case err != nil:
		return err
	case found && h.Prefix == p && h.Holder == owner:
		return nil
	case found:
		return &ConflictError{Prefix: p, Holding: h, Organization: a.cfg.Organization, Own: h.Holder == owner}
	}
	n, err := a.ledger.CountPrefixes(ctx, owner)
	if err != nil {
		return err
	}
	if n >= a.cfg.MaxPrefixes {
		return mesh.Errorf(mesh.Exhausted, "ipam: prefix %v: the node holds %d prefixes already, which is the limit; release some first", p, n)
	}
	return a.ledger.HoldPrefix(ctx, p, owner)
}

// Release ends the hold on p and returns the hold. A node, named by owner, releases
// only its own prefixes; an administrator passes an empty owner.
func (a *Allocator) Release(ctx context.Context, p netip.Prefix, owner mesh.NodeID) (mesh.Holding, error) {
	if !p.IsValid() {
		return mesh.Holding{}, mesh.Errorf(mesh.Invalid, "ipam: no prefix given")
	}
	h, found, err := a.ledger.Overlapping(ctx, p)
	switch {
	case err != nil:
		return mesh.Holding{}, err
	case !found:
		return mesh.Holding{}, mesh.Errorf(mesh.NotFound, "ipam: prefix %v is not held", p)
	case h.Prefix != p:
		return mesh.Holding{}, mesh.Errorf(mesh.NotFound, "ipam: prefix %v is not held; did you mean %v, held by %s?", p, h.Prefix, h.HolderName)
	case owner != "" && owner != h.Holder:
		return mesh.Holding{}, mesh.Errorf(mesh.Denied, "ipam: prefix %v is held by %s, not by this node", p, h.HolderName)
	}
	return h, a.ledger.DropPrefix(ctx, p)
}
