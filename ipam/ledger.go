package ipam

import (
	"context"
	"net/netip"
	"time"

	"nexd/mesh"
)

// Ledger is a transaction of one organization. No other transaction changes the
// organization meanwhile.
type Ledger interface {
	AddressLedger
	PrefixLedger
}

// AddressLedger keeps the node addresses of one organization. A record is an address
// that a node holds, or that rests after its release.
type AddressLedger interface {
	// AddressOf is the address of pool that owner holds. ok is false if it holds none.
	AddressOf(ctx context.Context, owner mesh.NodeID, pool netip.Prefix) (addr netip.Addr, ok bool, err error)
	// LastAddress is the highest address of pool that has a record.
	LastAddress(ctx context.Context, pool netip.Prefix) (addr netip.Addr, ok bool, err error)
	// ScanAddresses lists at most limit records of pool in rising order, beginning
	// with the record of from.
	ScanAddresses(ctx context.Context, pool netip.Prefix, from netip.Addr, limit int) ([]Address, error)
	// ClaimAddress makes owner the holder of addr, which rests or has no record.
	ClaimAddress(ctx context.Context, addr netip.Addr, owner mesh.NodeID) error
	// RestAddresses releases all of owner's addresses. They rest from the time at.
	RestAddresses(ctx context.Context, owner mesh.NodeID, at time.Time) error
}

// Address is the record of an address: Owner holds it, or it rests since Released if
// Owner is empty.
type Address struct {
	Addr     netip.Addr
	Owner    mesh.NodeID
	Released time.Time
}

// PrefixLedger keeps the held prefixes of one organization. They never overlap.
type PrefixLedger interface {
	// Overlapping is a held prefix that overlaps p. ok is false if there is none.
	//
	// One look-up is enough: take the held prefix with the highest first address that
	// is not above p's last address. If any held prefix overlaps p, this one does,
	// because a prefix that began between the two would lie inside the overlapping one.
	Overlapping(ctx context.Context, p netip.Prefix) (h mesh.Holding, ok bool, err error)
	// CountPrefixes is the number of prefixes that owner holds.
	CountPrefixes(ctx context.Context, owner mesh.NodeID) (int, error)
	// HoldPrefix makes owner the holder of p, which overlaps no held prefix.
	HoldPrefix(ctx context.Context, p netip.Prefix, owner mesh.NodeID) error
	// DropPrefix removes the record of the held prefix p.
	DropPrefix(ctx context.Context, p netip.Prefix) error
}
