package nodes

import (
	"context"
	"net/netip"
	"slices"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/txn"
)

// MaxEndpoints bounds the endpoints of a node, since its peers may send to all of them.
const MaxEndpoints = 16

// SetEndpoints replaces the endpoints and the NAT kind of a node, and marks the node as
// seen. It raises the endpoint counter if they changed, and never the map's revision.
// The service decides which addresses are worth trying.
func (s *Store) SetEndpoints(ctx context.Context, org mesh.OrgID, node mesh.NodeID, endpoints []netip.AddrPort, nat mesh.NAT) error {
	if err := checkEndpoints(endpoints); err != nil {
		return err
	}
	return s.update(ctx, "set endpoints", org, func(t *Tx) error {
		if err := t.seen(ctx, node); err != nil {
			return err
		}
		return t.setEndpoints(ctx, node, endpoints, nat)
	})
}

func checkEndpoints(endpoints []netip.AddrPort) error {
	if len(endpoints) > MaxEndpoints {
		return mesh.Errorf(mesh.Invalid, "store: %d endpoints are too many; a node may have %d", len(endpoints), MaxEndpoints)
	}
	for _, ep := range endpoints {
		a := ep.Addr()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" || ep.Port() == 0 {
			return mesh.Errorf(mesh.Invalid, "store: peers cannot send to endpoint %v", ep)
		}
	}
	return nil
}

// seen marks a node as seen now. A node that does not exist is mesh.NotFound.
func (t *Tx) seen(ctx context.Context, node mesh.NodeID) error {
	changed, err := t.o.Exec(ctx, `UPDATE nodes SET last_seen = $3 WHERE org = $1 AND id = $2`, t.o.ID, node, column.Time(t.o.Now))
	if err == nil && changed == 0 {
		err = nodeNotFound(string(node))
	}
	return err
}

// setEndpoints writes the endpoints if they changed. Duplicates count once.
func (t *Tx) setEndpoints(ctx context.Context, node mesh.NodeID, endpoints []netip.AddrPort, nat mesh.NAT) error {
	if err := t.setNAT(ctx, node, nat); err != nil {
		return err
	}
	want := make([]string, 0, len(endpoints))
	for _, ep := range endpoints {
		text := netip.AddrPortFrom(ep.Addr().Unmap(), ep.Port()).String()
		if !slices.Contains(want, text) {
			want = append(want, text)
		}
	}
	have, err := txn.Collect(ctx, t.o, scanString, `SELECT addr FROM endpoints WHERE org = $1 AND node = $2 ORDER BY seq`, t.o.ID, node)
	if err != nil || slices.Equal(have, want) {
		return err
	}
	t.o.EndpointsChanged = true
	if _, err := t.o.Exec(ctx, `DELETE FROM endpoints WHERE org = $1 AND node = $2`, t.o.ID, node); err != nil {
		return err
	}
	for i, addr := range want {
		if _, err := t.o.Exec(ctx, `INSERT INTO endpoints (org, node, seq, addr) VALUES ($1, $2, $3, $4)`, t.o.ID, node, i, addr); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) setNAT(ctx context.Context, node mesh.NodeID, nat mesh.NAT) error {
	changed, err := t.o.Exec(ctx, `UPDATE nodes SET nat = $3 WHERE org = $1 AND id = $2 AND nat <> $3`, t.o.ID, node, string(nat))
	t.o.EndpointsChanged = t.o.EndpointsChanged || changed > 0
	return err
}
