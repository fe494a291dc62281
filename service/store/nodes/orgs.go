package nodes

import (
	"context"

	"nexd/mesh"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// Organization finds an organization.
func (s *Store) Organization(ctx context.Context, org mesh.OrgID) (txn.Organization, error) {
	return s.oneOrganization(ctx, `id`, string(org))
}

// OrganizationByName finds an organization by its name.
func (s *Store) OrganizationByName(ctx context.Context, name string) (txn.Organization, error) {
	return s.oneOrganization(ctx, `name`, name)
}

func (s *Store) oneOrganization(ctx context.Context, column, value string) (o txn.Organization, err error) {
	err = s.db.Read(ctx, "find organization", func(q engine.Queryer) error {
		o, err = txn.ScanOrganization(q.QueryRow(ctx, `SELECT `+txn.OrgColumns+` FROM organizations WHERE `+column+` = $1`, value).Scan)
		return txn.OrgNotFound(err, value)
	})
	return o, err
}

// Organizations lists all organizations by name.
func (s *Store) Organizations(ctx context.Context) (os []txn.Organization, err error) {
	err = s.db.Read(ctx, "list organizations", func(q engine.Queryer) error {
		os, err = txn.Collect(ctx, q, txn.ScanOrganization, `SELECT `+txn.OrgColumns+` FROM organizations ORDER BY name`)
		return err
	})
	return os, err
}

// Revs are the two counters of an organization. Map rises with every change of the
// network map, Endpoints with every change of an endpoint.
type Revs struct {
	Map       uint64
	Endpoints uint64
}

// Revs reads the counters of every organization. It is cheap, and sees the changes of
// other processes, too.
func (s *Store) Revs(ctx context.Context) (map[mesh.OrgID]Revs, error) {
	revs := map[mesh.OrgID]Revs{}
	err := s.db.Read(ctx, "read revisions", func(q engine.Queryer) error {
		_, err := txn.Collect(ctx, q, func(scan txn.Scan) (struct{}, error) {
			var org mesh.OrgID
			var r Revs
			err := scan(&org, &r.Map, &r.Endpoints)
			revs[org] = r
			return struct{}{}, err
		}, `SELECT o.id, o.rev, e.rev FROM organizations o JOIN endpoint_revs e ON e.org = o.id`)
		return err
	})
	if err != nil {
		return nil, err
	}
	return revs, nil
}
