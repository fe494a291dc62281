package ipam

import (
	"context"
	"net/netip"
	"time"

	"nexd/mesh"
)

// Ledger is what ipam needs of a transaction that already holds the
// organization: nobody else changes it meanwhile.
type Ledger interface {
	AddressLedger
	PrefixLedger
}

// AddressLedger keeps the node addresses of one organization. A record is one
// address that is held by a node or rests after its release.
type AddressLedger interface {
	// AddressOf is the address of pool that owner holds; ok is false if none.
	AddressOf(ctx context.Context, owner mesh.NodeID, pool netip.Prefix) (addr netip.Addr, ok bool, err error)
	// LastAddress is the highest address of pool with a record.
	LastAddress(ctx context.Context, pool netip.Prefix) (addr netip.Addr, ok bool, err error)
	// ScanAddresses lists at most limit records of pool in rising order, from
	// address from on, which is included.
	ScanAddresses(ctx context.Context, pool netip.Prefix, from netip.Addr, limit int) ([]Address, error)
	// ClaimAddress makes owner the holder of addr, which has no record or rests.
	ClaimAddress(ctx context.Context, addr netip.Addr, owner mesh.NodeID) error
	// RestAddresses ends owner's hold on all its addresses; they rest from at on.
	RestAddresses(ctx context.Context, owner mesh.NodeID, at time.Time) error
}

// Address is a record of an address: held by Owner, or resting since Released
// when Owner is empty.
type Address struct {
	Addr     netip.Addr
	Owner    mesh.NodeID
	Released time.Time
}

// PrefixLedger keeps the held prefixes of one organization, which are disjoint.
type PrefixLedger interface {
	// Overlapping is one held prefix that shares an address with p; ok is false
	// when there is none. Since held prefixes are disjoint, one look-up is enough:
	// if any overlaps p, then so does the one with the highest first address that is
	// not after p's last. (A later start than that of an overlapping one would lie
	// inside it.)
	Overlapping(ctx context.Context, p netip.Prefix) (h mesh.Holding, ok bool, err error)
	// CountPrefixes is how many prefixes owner holds.
	CountPrefixes(ctx context.Context, owner mesh.NodeID) (int, error)
	// HoldPrefix records owner as the holder of p, which overlaps no held prefix.
	HoldPrefix(ctx context.Context, p netip.Prefix, owner mesh.NodeID) error
	// DropPrefix removes the record of p, which is held.
	DropPrefix(ctx context.Context, p netip.Prefix) error
}
