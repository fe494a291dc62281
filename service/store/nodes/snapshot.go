package nodes

import (
	"context"

	"nexd/mesh"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// EpochRow is the row of table meta that holds the epoch of mesh.Version.
const EpochRow = "epoch"

// Snapshot is an organization at one moment. The service makes the network maps of all
// its nodes from it.
type Snapshot struct {
	Organization txn.Organization
	Version      mesh.Version
	EndpointRev  uint64
	Nodes        []mesh.Node // by name, with their advertised prefixes; the service sets Online
}

// Snapshot reads an organization in one read transaction.
func (s *Store) Snapshot(ctx context.Context, org mesh.OrgID) (*Snapshot, error) {
	snap := &Snapshot{}
	err := s.db.Read(ctx, "read snapshot", func(q engine.Queryer) error {
		return snap.fill(ctx, q, org)
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}

func (s *Snapshot) fill(ctx context.Context, q engine.Queryer, org mesh.OrgID) (err error) {
	s.Organization, err = txn.ScanOrganization(q.QueryRow(ctx, `SELECT `+txn.OrgColumns+` FROM organizations WHERE id = $1`, org).Scan)
	if err != nil {
		return txn.OrgNotFound(err, string(org))
	}
	err = q.QueryRow(ctx, `SELECT m.value, o.rev, e.rev FROM organizations o
		JOIN endpoint_revs e ON e.org = o.id JOIN meta m ON m.name = $2 WHERE o.id = $1`, org, EpochRow).
		Scan(&s.Version.Epoch, &s.Version.Rev, &s.EndpointRev)
	if err != nil {
		return err
	}
	ds, err := readNodes(ctx, q, org, "")
	if err != nil {
		return err
	}
	s.Nodes = make([]mesh.Node, len(ds))
	for i, d := range ds {
		s.Nodes[i] = d.onMap()
	}
	return nil
}
