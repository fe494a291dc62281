package store

import (
	"context"
	"net/netip"
	"time"

	"nexd/mesh"
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

// CreateOrganization adds an organization. ownerID may be empty. A name in use is
// a mesh.Conflict error, one that is no DNS label mesh.Invalid.
func (s *Store) CreateOrganization(ctx context.Context, name, ownerID string) (Organization, error) {
	return Organization{}, errNotYet
}

// Organization finds an organization.
func (s *Store) Organization(ctx context.Context, org mesh.OrgID) (Organization, error) {
	return Organization{}, errNotYet
}

// OrganizationByName finds an organization by its name.
func (s *Store) OrganizationByName(ctx context.Context, name string) (Organization, error) {
	return Organization{}, errNotYet
}

// Organizations lists all organizations by name.
func (s *Store) Organizations(ctx context.Context) ([]Organization, error) { return nil, errNotYet }

// Revs are the two counters of an organization. Map rises with every change of
// the network map; Endpoints with every change of an endpoint.
type Revs struct {
	Map       uint64
	Endpoints uint64
}

// Revs reads the counters of every organization: cheap, and also right about
// changes made by other processes.
func (s *Store) Revs(ctx context.Context) (map[mesh.OrgID]Revs, error) { return nil, errNotYet }
