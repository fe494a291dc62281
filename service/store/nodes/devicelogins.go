package nodes

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// States of a device login.
const (
	DevicePending  = "pending"
	DeviceApproved = "approved"
	DeviceDenied   = "denied"
	DeviceUsed     = "used" // a node registered with it
)

// DeviceLogin is a node that waits for a person's approval (RFC 8628). The store keeps
// only the hashes of its codes.
type DeviceLogin struct {
	Org      mesh.OrgID // empty until a person answers
	Key      mesh.Key
	Hostname string
	OS       string
	Version  string
	Addr     netip.Addr
	Prefixes []netip.Prefix
	State    string
	Created  time.Time
	Expires  time.Time
	Polled   time.Time
}

const deviceLoginColumns = `org, node_key, hostname, os, version, addr, prefixes, state, created, expires, polled`

func scanDeviceLogin(scan txn.Scan) (d DeviceLogin, err error) {
	var key, addr, prefixes string
	var created, expires, polled int64
	if err := scan(&d.Org, &key, &d.Hostname, &d.OS, &d.Version, &addr, &prefixes, &d.State, &created, &expires, &polled); err != nil {
		return d, err
	}
	d.Created, d.Expires, d.Polled = column.ParseTime(created), column.ParseTime(expires), column.ParseTime(polled)
	d.Prefixes = []netip.Prefix{}
	for text := range strings.FieldsSeq(prefixes) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return d, err
		}
		d.Prefixes = append(d.Prefixes, p)
	}
	if d.Addr, err = column.ParseIP(addr); err != nil {
		return d, err
	}
	d.Key, err = mesh.ParseKey(key)
	return d, err
}

// deviceCodePrefix starts the text of every device code.
const deviceCodePrefix = "nxd_"

// MaxDeviceLogins bounds how many nodes wait for approval at once in the whole service.
const MaxDeviceLogins = 20_000

// StartDeviceLogin begins a node's wait under a user code that the caller made, and
// makes the device code. It replaces an earlier device login of the same node key. A
// user code in use is mesh.Conflict; the caller tries another.
func (s *Store) StartDeviceLogin(ctx context.Context, d DeviceLogin, userCode string, life time.Duration) (code string, err error) {
	code = column.NewSecret(deviceCodePrefix)
	words := make([]string, len(d.Prefixes))
	for i, p := range d.Prefixes {
		words[i] = p.String()
	}
	err = s.db.Write(ctx, "start device login", func(tx *txn.Tx) error {
		now := s.db.Now()
		if _, err := tx.Exec(ctx, `DELETE FROM device_logins WHERE node_key = $1 OR expires <= $2`, d.Key.String(), column.Time(now)); err != nil {
			return err
		}
		var waiting int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM device_logins WHERE expires > $1`, column.Time(now)).Scan(&waiting); err != nil {
			return err
		}
		if waiting >= MaxDeviceLogins {
			return mesh.Errorf(mesh.Exhausted, "store: %d nodes already wait for approval; try again later", waiting)
		}
		_, err := tx.Exec(ctx, `INSERT INTO device_logins
			(org, hash, user_code, node_key, hostname, os, version, addr, prefixes, state, created, expires)
			VALUES ('', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			column.Hash(code), column.Hash(userCode), d.Key.String(), column.Clip(d.Hostname), column.Clip(d.OS), column.Clip(d.Version), column.IP(d.Addr),
			strings.Join(words, " "), DevicePending, column.Time(now), column.Time(now.Add(life)))
		if engine.IsDuplicate(err) {
			return mesh.Errorf(mesh.Conflict, "store: the user code is in use")
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return code, nil
}

func errNoDeviceLogin() error {
	return mesh.Errorf(mesh.NotFound, "store: no node waits with this code; it may have expired")
}

// PendingDeviceLogin finds the device login of a user code, answered or not, until it
// expires or its node registers. Others are mesh.NotFound.
func (s *Store) PendingDeviceLogin(ctx context.Context, userCode string) (d DeviceLogin, err error) {
	err = s.db.Read(ctx, "find device login", func(q engine.Queryer) error {
		d, err = pendingDeviceLogin(ctx, q, userCode, s.db.Now())
		return err
	})
	return d, err
}

func pendingDeviceLogin(ctx context.Context, q engine.Queryer, userCode string, now time.Time) (DeviceLogin, error) {
	d, err := scanDeviceLogin(q.QueryRow(ctx, `SELECT `+deviceLoginColumns+` FROM device_logins WHERE user_code = $1`, column.Hash(userCode)).Scan)
	if engine.IsNoRow(err) || err == nil && (!d.Expires.After(now) || d.State == DeviceUsed) {
		return DeviceLogin{}, errNoDeviceLogin()
	}
	return d, err
}

// DecideDeviceLogin approves or denies a waiting node. A second answer is mesh.Conflict.
// An approved node may register with its device code for the duration life.
func (s *Store) DecideDeviceLogin(ctx context.Context, org mesh.OrgID, userCode string, approve bool, life time.Duration) (d DeviceLogin, err error) {
	err = s.update(ctx, "decide device login", org, func(t *Tx) error {
		if d, err = pendingDeviceLogin(ctx, t.o, userCode, t.o.Now); err != nil {
			return err
		}
		if d.State != DevicePending {
			return mesh.Errorf(mesh.Conflict, "store: node %s was already %s", d.Hostname, d.State)
		}
		d.Org, d.State = org, DeviceDenied
		action := "node.deny"
		if approve {
			d.State, d.Expires, action = DeviceApproved, t.o.Now.Add(life), "node.approve"
		}
		err := txn.ChangedOne(t.o.Exec(ctx, `UPDATE device_logins SET org = $1, state = $3, expires = $4
			WHERE user_code = $2 AND org = '' AND state = 'pending'`, org, column.Hash(userCode), d.State, column.Time(d.Expires)))
		if err != nil {
			return err
		}
		return t.o.Audit(ctx, action, d.Hostname, nil, map[string]any{"key": d.Key, "os": d.OS, "address": column.IP(d.Addr), "prefixes": d.Prefixes})
	})
	return d, err
}

// PollDeviceLogin finds a device login by the node's device code and key, and records
// the time of the poll. before is the time of the poll before. A device login that is
// unknown, expired, used or of another node is mesh.NotFound.
func (s *Store) PollDeviceLogin(ctx context.Context, code string, key mesh.Key) (d DeviceLogin, before time.Time, err error) {
	err = s.db.Write(ctx, "poll device login", func(tx *txn.Tx) error {
		now := s.db.Now()
		want, hash := column.Hash(code), ""
		d, err = scanDeviceLogin(func(dest ...any) error {
			return tx.QueryRow(ctx, `SELECT `+deviceLoginColumns+`, hash FROM device_logins WHERE hash = $1`, want).Scan(append(dest, &hash)...)
		})
		if engine.IsNoRow(err) || err == nil && (!column.SameHash(hash, want) || d.Key != key || !d.Expires.After(now) || d.State == DeviceUsed) {
			return errNoDeviceLogin()
		}
		if err != nil {
			return err
		}
		before = d.Polled
		_, err := tx.Exec(ctx, `UPDATE device_logins SET polled = $2 WHERE hash = $1`, want, column.Time(now))
		return err
	})
	return d, before, err
}

// approvalOrganization is the organization where an approved node may register.
func approvalOrganization(ctx context.Context, q engine.Queryer, code string, key mesh.Key) (org mesh.OrgID, err error) {
	err = q.QueryRow(ctx, `SELECT org FROM device_logins WHERE hash = $1 AND node_key = $2 AND state = 'approved'`, column.Hash(code), key.String()).Scan(&org)
	if engine.IsNoRow(err) {
		return "", errApproval()
	}
	return org, err
}

func errApproval() error {
	return mesh.Errorf(mesh.Denied, "store: the approval is unknown, expired, used or for another node; start again")
}

// useApproval uses an approval up in the transaction that adds the node. The node has
// the key that the person saw, and asks for no prefix that the person did not see.
func (t *Tx) useApproval(ctx context.Context, r Registration) error {
	d, err := scanDeviceLogin(t.o.QueryRow(ctx, `UPDATE device_logins SET state = 'used'
		WHERE org = $1 AND hash = $2 AND node_key = $3 AND state = 'approved' AND expires > $4 RETURNING `+deviceLoginColumns,
		t.o.ID, column.Hash(r.Approval), r.Key.String(), column.Time(t.o.Now)).Scan)
	if engine.IsNoRow(err) {
		return errApproval()
	}
	if err != nil {
		return err
	}
	approved := map[netip.Prefix]bool{}
	for _, p := range d.Prefixes {
		approved[p] = true
	}
	for _, p := range r.Prefixes {
		if !approved[p] {
			return mesh.Errorf(mesh.Denied, "store: prefix %v was not approved; start again", p)
		}
	}
	return nil
}
