package nodes

import (
	"context"
	"net/netip"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// SetAdvertised makes prefixes all that the node advertises. The node gets the prefixes
// that it does not hold yet, by the rules of ipam (*ipam.ConflictError, mesh.Invalid,
// mesh.Exhausted), and keeps those that it no longer advertises. On an error nothing
// changes.
func (s *Store) SetAdvertised(ctx context.Context, org mesh.OrgID, node mesh.NodeID, prefixes []netip.Prefix) error {
	return s.update(ctx, "advertise prefixes", org, func(t *Tx) error {
		if err := t.seen(ctx, node); err != nil {
			return err
		}
		return t.Advertise(ctx, node, prefixes)
	})
}

// Advertise does the work of SetAdvertised for a node that exists.
func (t *Tx) Advertise(ctx context.Context, node mesh.NodeID, prefixes []netip.Prefix) error {
	want := make(map[netip.Prefix]bool, len(prefixes))
	for _, p := range prefixes {
		if want[p] {
			continue
		}
		want[p] = true
		if err := t.IPAM().Hold(ctx, p, node); err != nil {
			return err
		}
	}
	held, err := txn.Collect(ctx, t.o, scanHolding, `SELECT `+holdingColumns+` WHERE p.org = $1 AND p.node = $2`, t.o.ID, node)
	if err != nil {
		return err
	}
	var before, after []netip.Prefix
	changed, name := false, ""
	for _, h := range held {
		if name = h.HolderName; h.Advertised {
			before = append(before, h.Prefix)
		}
		if want[h.Prefix] {
			after = append(after, h.Prefix)
		}
		if h.Advertised == want[h.Prefix] {
			continue
		}
		changed = true
		err := txn.ChangedOne(t.o.ExecMap(ctx, `UPDATE prefixes SET advertised = $4 WHERE org = $1 AND family = $2 AND lo = $3`,
			t.o.ID, column.Family(h.Prefix.Addr()), column.Addr(h.Prefix.Addr()), want[h.Prefix]))
		if err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	return t.auditNode(ctx, name, "prefix.advertise", name, before, after)
}

// Prefixes lists the held prefixes of an organization in the order of addresses.
func (s *Store) Prefixes(ctx context.Context, org mesh.OrgID) (hs []mesh.Holding, err error) {
	err = s.db.Read(ctx, "list prefixes", func(q engine.Queryer) error {
		hs, err = txn.Collect(ctx, q, scanHolding, `SELECT `+holdingColumns+` WHERE p.org = $1 ORDER BY p.family, p.lo`, org)
		return err
	})
	return hs, err
}

// ReleasePrefix ends the hold on a prefix and returns the hold. A node releases only its
// own prefixes; an administrator passes an empty node.
func (s *Store) ReleasePrefix(ctx context.Context, org mesh.OrgID, p netip.Prefix, node mesh.NodeID) (h mesh.Holding, err error) {
	err = s.update(ctx, "release prefix", org, func(t *Tx) error {
		if h, err = t.IPAM().Release(ctx, p, node); err != nil {
			return err
		}
		return t.auditNode(ctx, h.HolderName, "prefix.release", p.String(), map[string]any{"holder": h.HolderName, "advertised": h.Advertised}, nil)
	})
	if err != nil {
		return mesh.Holding{}, err
	}
	return h, nil
}
