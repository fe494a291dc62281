package store

import (
	"context"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// Snapshot is an organization at one moment: all that the network maps of its
// nodes are made of.
type Snapshot struct {
	Organization Organization
	Version      mesh.Version
	EndpointRev  uint64
	Nodes        []mesh.Node // by name; Prefixes are the advertised ones; Online is for the service to set
}

// MapFor is the network map of one node; ok is false if the snapshot does not
// have that node. Maps share the nodes' slices with the snapshot: read only.
func (s *Snapshot) MapFor(node mesh.NodeID) (m *mesh.NetworkMap, ok bool) {
	m = &mesh.NetworkMap{
		Version:      s.Version,
		Organization: s.Organization.Name,
		Pools:        s.Organization.Pools(),
		Peers:        make([]mesh.Node, 0, len(s.Nodes)),
	}
	for _, n := range s.Nodes {
		if n.ID == node {
			m.Self, ok = n, true
			continue
		}
		m.Peers = append(m.Peers, n)
	}
	return m, ok
}

// Snapshot reads an organization in one read transaction, consistent in itself.
func (s *Store) Snapshot(ctx context.Context, org mesh.OrgID) (*Snapshot, error) {
	snap := &Snapshot{}
	err := s.read(ctx, "read snapshot", func(q engine.Queryer) error {
		return snap.fill(ctx, q, org)
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}

func (s *Snapshot) fill(ctx context.Context, q engine.Queryer, org mesh.OrgID) (err error) {
	s.Organization, err = scanOrganization(q.QueryRow(ctx, `SELECT `+orgColumns+` FROM organizations WHERE id = $1`, org).Scan)
	if err != nil {
		return orgNotFound(err, string(org))
	}
	err = q.QueryRow(ctx, `SELECT m.value, o.rev, e.rev FROM organizations o
		JOIN endpoint_revs e ON e.org = o.id JOIN meta m ON m.name = $2 WHERE o.id = $1`, org, metaEpoch).
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
