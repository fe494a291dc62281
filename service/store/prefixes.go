package store

import (
	"context"
	"net/netip"

	"nexd/mesh"
)

// SetAdvertised makes prefixes the ones that node advertises. Those it does not
// hold yet it gets, by the rules of ipam (*ipam.ConflictError, mesh.Invalid,
// mesh.Exhausted); held ones that are not among them stay held. All or nothing.
func (s *Store) SetAdvertised(ctx context.Context, org mesh.OrgID, node mesh.NodeID, prefixes []netip.Prefix) error {
	return errNotYet
}

// Prefixes lists what is held in an organization, in the order of addresses.
func (s *Store) Prefixes(ctx context.Context, org mesh.OrgID) ([]mesh.Holding, error) {
	return nil, errNotYet
}

// ReleasePrefix ends the hold on a prefix and says what it was. With a non-empty
// node only that node's own is released; the empty one stands for an
// administrator.
func (s *Store) ReleasePrefix(ctx context.Context, org mesh.OrgID, p netip.Prefix, node mesh.NodeID) (mesh.Holding, error) {
	return mesh.Holding{}, errNotYet
}
