package ipam

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"nexd/mesh"
)

// Memory is a Ledger in memory: the reference that the contract test of service/store
// compares a database with. The zero value is empty and ready to use. Like a
// transaction, it is not for concurrent use.
type Memory struct {
	Describe func(mesh.NodeID) (name string, lastSeen time.Time) // of a holder; may be nil

	addrs    []Address // rising
	prefixes []holding // rising
}

type holding struct {
	prefix netip.Prefix
	owner  mesh.NodeID
}

var _ Ledger = (*Memory)(nil)

func (m *Memory) find(addr netip.Addr) (int, bool) {
	return slices.BinarySearchFunc(m.addrs, addr, func(r Address, a netip.Addr) int { return r.Addr.Compare(a) })
}

// AddressOf implements AddressLedger.
func (m *Memory) AddressOf(_ context.Context, owner mesh.NodeID, pool netip.Prefix) (netip.Addr, bool, error) {
	for _, r := range m.addrs {
		if r.Owner == owner && pool.Contains(r.Addr) {
			return r.Addr, true, nil
		}
	}
	return netip.Addr{}, false, nil
}

// LastAddress implements AddressLedger.
func (m *Memory) LastAddress(_ context.Context, pool netip.Prefix) (netip.Addr, bool, error) {
	for _, r := range slices.Backward(m.addrs) {
		if pool.Contains(r.Addr) {
			return r.Addr, true, nil
		}
	}
	return netip.Addr{}, false, nil
}

// ScanAddresses implements AddressLedger.
func (m *Memory) ScanAddresses(_ context.Context, pool netip.Prefix, from netip.Addr, limit int) ([]Address, error) {
	var page []Address
	at, _ := m.find(from)
	for _, r := range m.addrs[at:] {
		if len(page) == limit {
			break
		}
		if pool.Contains(r.Addr) {
			page = append(page, r)
		}
	}
	return page, nil
}

// ClaimAddress implements AddressLedger.
func (m *Memory) ClaimAddress(_ context.Context, addr netip.Addr, owner mesh.NodeID) error {
	at, found := m.find(addr)
	switch {
	case found && m.addrs[at].Owner != "":
		return mesh.Errorf(mesh.Internal, "ipam: address %v is held by %s already", addr, m.addrs[at].Owner)
	case found:
		m.addrs[at] = Address{Addr: addr, Owner: owner}
	default:
		m.addrs = slices.Insert(m.addrs, at, Address{Addr: addr, Owner: owner})
	}
	return nil
}

// RestAddresses implements AddressLedger.
func (m *Memory) RestAddresses(_ context.Context, owner mesh.NodeID, at time.Time) error {
	for i, r := range m.addrs {
		if r.Owner == owner {
			m.addrs[i] = Address{Addr: r.Addr, Released: at}
		}
	}
	return nil
}

// Overlapping implements PrefixLedger with the one look-up that it describes.
func (m *Memory) Overlapping(_ context.Context, p netip.Prefix) (mesh.Holding, bool, error) {
	_, last := Range(p)
	for _, h := range slices.Backward(m.prefixes) {
		if h.prefix.Addr().Is4() == p.Addr().Is4() && !last.Less(h.prefix.Addr()) {
			return m.describe(h), h.prefix.Overlaps(p), nil
		}
	}
	return mesh.Holding{}, false, nil
}

// CountPrefixes implements PrefixLedger.
func (m *Memory) CountPrefixes(_ context.Context, owner mesh.NodeID) (n int, _ error) {
	for _, h := range m.prefixes {
		if h.owner == owner {
			n++
		}
	}
	return n, nil
}

// HoldPrefix implements PrefixLedger.
func (m *Memory) HoldPrefix(_ context.Context, p netip.Prefix, owner mesh.NodeID) error {
	at, found := m.findPrefix(p)
	if found {
		return mesh.Errorf(mesh.Internal, "ipam: prefix %v is held by %s already", p, m.prefixes[at].owner)
	}
	m.prefixes = slices.Insert(m.prefixes, at, holding{p, owner})
	return nil
}

// DropPrefix implements PrefixLedger.
func (m *Memory) DropPrefix(_ context.Context, p netip.Prefix) error {
	at, found := m.findPrefix(p)
	if !found {
		return mesh.Errorf(mesh.Internal, "ipam: prefix %v is not held", p)
	}
	m.prefixes = slices.Delete(m.prefixes, at, at+1)
	return nil
}

func (m *Memory) findPrefix(p netip.Prefix) (int, bool) {
	return slices.BinarySearchFunc(m.prefixes, p, func(h holding, p netip.Prefix) int { return h.prefix.Compare(p) })
}

func (m *Memory) describe(h holding) mesh.Holding {
	out := mesh.Holding{Prefix: h.prefix, Holder: h.owner, HolderName: string(h.owner)}
	if m.Describe != nil {
		out.HolderName, out.LastSeen = m.Describe(h.owner)
	}
	return out
}
