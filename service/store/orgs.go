package store

import (
	"context"
	"crypto/rand"
	"net/netip"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/engine"
)

// Organization is a mesh of its own: its addresses, prefixes and names are seen
// by nobody else.
type Organization struct {
	ID      mesh.OrgID
	Name    string // unique; a DNS label
	Pool4   netip.Prefix
	Pool6   netip.Prefix
	Created time.Time
}

// Pools are the organization's address pools, IPv4 first.
func (o Organization) Pools() []netip.Prefix { return []netip.Prefix{o.Pool4, o.Pool6} }

const orgColumns = `id, name, pool4, pool6, organizations.created`

func scanOrganization(scan func(...any) error) (o Organization, err error) {
	var pool4, pool6 string
	var created int64
	if err := scan(&o.ID, &o.Name, &pool4, &pool6, &created); err != nil {
		return o, err
	}
	o.Created = toTime(created)
	if o.Pool4, err = netip.ParsePrefix(pool4); err != nil {
		return o, err
	}
	o.Pool6, err = netip.ParsePrefix(pool6)
	return o, err
}

func orgNotFound(err error, name string) error {
	if isNoRow(err) {
		return mesh.Errorf(mesh.NotFound, "store: no organization %s", name)
	}
	return err
}

// CreateOrganization adds an organization. ownerID may be empty. A name in use is
// a mesh.Conflict error, one that is no DNS label mesh.Invalid.
func (s *Store) CreateOrganization(ctx context.Context, name, ownerID string) (o Organization, err error) {
	err = s.write(ctx, "create organization", func(tx engine.Tx) error {
		o, err = insertOrganization(ctx, tx, name, ownerID, s.opts.Now())
		return err
	})
	return o, err
}

func insertOrganization(ctx context.Context, tx engine.Tx, name, ownerID string, now time.Time) (Organization, error) {
	if err := ipam.CheckName(name); err != nil {
		return Organization{}, err
	}
	pool6, err := ipam.NewPool6(rand.Reader)
	if err != nil {
		return Organization{}, err
	}
	o := Organization{ID: mesh.OrgID(newID()), Name: name, Pool4: ipam.Pool4, Pool6: pool6, Created: now}
	_, err = tx.Exec(ctx, `INSERT INTO organizations (id, name, pool4, pool6, created) VALUES ($1, $2, $3, $4, $5)`,
		o.ID, o.Name, o.Pool4.String(), o.Pool6.String(), fromTime(now))
	if isDuplicate(err) {
		return Organization{}, mesh.Errorf(mesh.Conflict, "store: organization %s is there already", name)
	}
	if err != nil {
		return Organization{}, err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO endpoint_revs (org) VALUES ($1)`, o.ID); err != nil {
		return Organization{}, err
	}
	after := map[string]string{"name": o.Name}
	if ownerID != "" {
		if err := insertMembership(ctx, tx, o.ID, ownerID, mesh.RoleOwner, now); err != nil {
			return Organization{}, err
		}
		after["owner"] = ownerID
	}
	return o, writeAudit(ctx, tx, o.ID, now, "org.create", o.Name, nil, after)
}

// Organization finds an organization.
func (s *Store) Organization(ctx context.Context, org mesh.OrgID) (Organization, error) {
	return s.oneOrganization(ctx, `id`, string(org))
}

// OrganizationByName finds an organization by its name.
func (s *Store) OrganizationByName(ctx context.Context, name string) (Organization, error) {
	return s.oneOrganization(ctx, `name`, name)
}

func (s *Store) oneOrganization(ctx context.Context, column, value string) (o Organization, err error) {
	err = s.read(ctx, "find organization", func(q engine.Queryer) error {
		o, err = scanOrganization(q.QueryRow(ctx, `SELECT `+orgColumns+` FROM organizations WHERE `+column+` = $1`, value).Scan)
		return orgNotFound(err, value)
	})
	return o, err
}

// Organizations lists all organizations by name.
func (s *Store) Organizations(ctx context.Context) (os []Organization, err error) {
	err = s.read(ctx, "list organizations", func(q engine.Queryer) error {
		os, err = collect(ctx, q, scanOrganization, `SELECT `+orgColumns+` FROM organizations ORDER BY name`)
		return err
	})
	return os, err
}

// Revs are the two counters of an organization. Map rises with every change of
// the network map; Endpoints with every change of an endpoint.
type Revs struct {
	Map       uint64
	Endpoints uint64
}

// Revs reads the counters of every organization: cheap, and also right about
// changes made by other processes.
func (s *Store) Revs(ctx context.Context) (map[mesh.OrgID]Revs, error) {
	revs := map[mesh.OrgID]Revs{}
	err := s.read(ctx, "read revisions", func(q engine.Queryer) error {
		_, err := collect(ctx, q, func(scan func(...any) error) (struct{}, error) {
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
