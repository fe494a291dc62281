package txn

import (
	"context"
	"crypto/rand"
	"net/netip"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
)

// Organization is a mesh of its own: no other organization sees its addresses,
// prefixes and names.
type Organization struct {
	ID      mesh.OrgID
	Name    string // unique; a DNS label
	Pool4   netip.Prefix
	Pool6   netip.Prefix
	Created time.Time
}

// Pools are the organization's address pools, IPv4 first.
func (o Organization) Pools() []netip.Prefix { return []netip.Prefix{o.Pool4, o.Pool6} }

// OrgColumns are the columns that ScanOrganization reads.
const OrgColumns = `id, name, pool4, pool6, organizations.created`

// ScanOrganization reads a row of OrgColumns.
func ScanOrganization(scan Scan) (o Organization, err error) {
	var pool4, pool6 string
	var created int64
	if err := scan(&o.ID, &o.Name, &pool4, &pool6, &created); err != nil {
		return o, err
	}
	o.Created = column.ParseTime(created)
	if o.Pool4, err = netip.ParsePrefix(pool4); err != nil {
		return o, err
	}
	o.Pool6, err = netip.ParsePrefix(pool6)
	return o, err
}

// OrgNotFound makes an error of a missing row one that says so; name is what the
// caller looked for.
func OrgNotFound(err error, name string) error {
	if engine.IsNoRow(err) {
		return mesh.Errorf(mesh.NotFound, "store: no organization %s", name)
	}
	return err
}

// InsertOrganization adds an organization with new pools. The caller writes the
// audit row. A name in use is a mesh.Conflict error, a name that is no DNS label
// mesh.Invalid.
func (tx *Tx) InsertOrganization(ctx context.Context, name string) (Organization, error) {
	if err := ipam.CheckName(name); err != nil {
		return Organization{}, err
	}
	pool6, err := ipam.NewPool6(rand.Reader)
	if err != nil {
		return Organization{}, err
	}
	o := Organization{ID: mesh.OrgID(column.NewID()), Name: name, Pool4: ipam.Pool4, Pool6: pool6, Created: tx.Now}
	_, err = tx.Exec(ctx, `INSERT INTO organizations (id, name, pool4, pool6, created) VALUES ($1, $2, $3, $4, $5)`,
		o.ID, o.Name, o.Pool4.String(), o.Pool6.String(), column.Time(o.Created))
	if engine.IsDuplicate(err) {
		return Organization{}, mesh.Errorf(mesh.Conflict, "store: organization %s already exists", name)
	}
	if err != nil {
		return Organization{}, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO endpoint_revs (org) VALUES ($1)`, o.ID)
	return o, err
}

// Org is an organization whose row a transaction has locked. No other transaction
// changes the organization before this one ends.
type Org struct {
	*Tx
	Organization

	MapChanged       bool // the network map shows a change
	EndpointsChanged bool // endpoints changed
}

// Lock locks an organization's row until the transaction ends. An organization that
// does not exist is mesh.NotFound.
func (tx *Tx) Lock(ctx context.Context, org mesh.OrgID) (*Org, error) {
	found, err := ScanOrganization(tx.QueryRowLocked(ctx, `SELECT `+OrgColumns+` FROM organizations WHERE id = $1`, org).Scan)
	if err != nil {
		return nil, OrgNotFound(err, string(org))
	}
	o := &Org{Tx: tx, Organization: found}
	tx.locked = append(tx.locked, o)
	return o, nil
}

// ExecMap is Exec for a statement that changes what the network map shows.
func (o *Org) ExecMap(ctx context.Context, query string, args ...any) (changed int64, err error) {
	o.MapChanged = true
	return o.Exec(ctx, query, args...)
}

// raise raises the counters of what has changed.
func (o *Org) raise(ctx context.Context) error {
	if o.MapChanged {
		if err := ChangedOne(o.Exec(ctx, `UPDATE organizations SET rev = rev + 1 WHERE id = $1`, o.ID)); err != nil {
			return err
		}
	}
	if o.EndpointsChanged {
		return ChangedOne(o.Exec(ctx, `UPDATE endpoint_revs SET rev = rev + 1 WHERE org = $1`, o.ID))
	}
	return nil
}
