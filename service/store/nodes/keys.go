package nodes

import (
	"context"
	"strings"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// KeyParams are the terms of a new registration key.
type KeyParams struct {
	Description string
	Uses        int           // how many nodes it may add; 0 = any number (reusable)
	Lifetime    time.Duration // 0 = for ever
	Replaces    bool          // a new node replaces the offline ones of its host name that joined with this key
}

// RegistrationKey is a stored registration key. The store does not keep its secret.
type RegistrationKey struct {
	ID          string
	Prefix      string // the first characters of the secret, for recognition
	Description string
	Reusable    bool // any number of uses
	UsesLeft    int  // when not Reusable
	Replaces    bool // see KeyParams
	Used        int
	Expires     time.Time // zero = never
	Revoked     time.Time // zero = not revoked
	Created     time.Time
	LastUsed    time.Time
}

// State is usable, revoked, expired or used-up.
func (k RegistrationKey) State(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Expires.IsZero() && !k.Expires.After(now):
		return "expired"
	case !k.Reusable && k.UsesLeft == 0:
		return "used-up"
	}
	return "usable"
}

// KeyPrefix starts the text of every registration key.
const KeyPrefix = "nxk_"

// shownOfKey is the length of the part of a secret that the store keeps, so that people
// recognize the key: 30 of its 160 bits.
const shownOfKey = len(KeyPrefix) + 6

// CreateKey makes a registration key and its secret. The store keeps only the SHA-256 of
// the secret. The secret consists of letters, digits and "_", so the service can append
// a pin to it.
func (s *Store) CreateKey(ctx context.Context, org mesh.OrgID, p KeyParams) (k RegistrationKey, secret string, err error) {
	err = s.update(ctx, "create registration key", org, func(t *Tx) error {
		k, secret, err = InsertKey(ctx, t.o.Tx, org, p)
		return err
	})
	if err != nil {
		return RegistrationKey{}, "", err
	}
	return k, secret, nil
}

// InsertKey does the work of CreateKey in a transaction.
func InsertKey(ctx context.Context, tx *txn.Tx, org mesh.OrgID, p KeyParams) (RegistrationKey, string, error) {
	switch {
	case p.Uses < 0:
		return RegistrationKey{}, "", mesh.Errorf(mesh.Invalid, "store: a registration key cannot have %d uses", p.Uses)
	case p.Lifetime < 0:
		return RegistrationKey{}, "", mesh.Errorf(mesh.Invalid, "store: a registration key cannot have a lifetime of %v", p.Lifetime)
	case len(p.Description) > column.MaxDescription:
		return RegistrationKey{}, "", mesh.Errorf(mesh.Invalid, "store: a description of %d bytes is too long; the limit is %d", len(p.Description), column.MaxDescription)
	}
	secret := column.NewSecret(KeyPrefix)
	k := RegistrationKey{
		ID: column.NewID(), Prefix: secret[:shownOfKey], Description: p.Description,
		Reusable: p.Uses == 0, UsesLeft: p.Uses, Replaces: p.Replaces, Created: tx.Now,
	}
	if p.Lifetime > 0 {
		k.Expires = tx.Now.Add(p.Lifetime)
	}
	_, err := tx.Exec(ctx, `INSERT INTO registration_keys
		(org, id, hash, prefix, description, reusable, uses_left, expires, created, replaces) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		org, k.ID, column.Hash(secret), k.Prefix, k.Description, k.Reusable, k.UsesLeft, column.Time(k.Expires), column.Time(tx.Now), k.Replaces)
	if err != nil {
		return RegistrationKey{}, "", err
	}
	made := map[string]any{"description": k.Description, "uses": p.Uses, "expires": k.Expires}
	if k.Replaces {
		made["replaces"] = true
	}
	return k, secret, tx.AuditOrg(ctx, org, "key.create", k.label(), nil, made)
}

// label names a key in the audit.
func (k RegistrationKey) label() string { return "key " + k.ID + " (" + k.Prefix + "…)" }

const keyColumns = `id, prefix, description, reusable, uses_left, used, expires, revoked, created, last_used, replaces`

func scanKey(scan txn.Scan) (k RegistrationKey, err error) {
	var expires, revoked, created, lastUsed int64
	err = scan(&k.ID, &k.Prefix, &k.Description, &k.Reusable, &k.UsesLeft, &k.Used, &expires, &revoked, &created, &lastUsed, &k.Replaces)
	k.Expires, k.Revoked, k.Created, k.LastUsed = column.ParseTime(expires), column.ParseTime(revoked), column.ParseTime(created), column.ParseTime(lastUsed)
	return k, err
}

// Keys lists the registration keys of an organization, newest first.
func (s *Store) Keys(ctx context.Context, org mesh.OrgID) (ks []RegistrationKey, err error) {
	err = s.db.Read(ctx, "list registration keys", func(q engine.Queryer) error {
		ks, err = txn.Collect(ctx, q, scanKey, `SELECT `+keyColumns+` FROM registration_keys WHERE org = $1 ORDER BY created DESC, id`, org)
		return err
	})
	return ks, err
}

// RevokeKey revokes a key, named by its ID or its Prefix. The nodes that it added stay. A
// revoked key stays as it is.
func (s *Store) RevokeKey(ctx context.Context, org mesh.OrgID, idOrPrefix string) (k RegistrationKey, err error) {
	err = s.update(ctx, "revoke registration key", org, func(t *Tx) error {
		found, err := txn.Collect(ctx, t.o, scanKey, `SELECT `+keyColumns+` FROM registration_keys
			WHERE org = $1 AND (id = $2 OR prefix = $2)`, org, idOrPrefix)
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return mesh.Errorf(mesh.NotFound, "store: no registration key %s in organization %s", shorten(idOrPrefix), t.o.Name)
		case len(found) > 1:
			return mesh.Errorf(mesh.Conflict, "store: %d registration keys start with %s; name one by its ID", len(found), idOrPrefix)
		}
		if k = found[0]; !k.Revoked.IsZero() {
			return nil
		}
		before := map[string]any{"state": k.State(t.o.Now), "used": k.Used, "description": k.Description}
		k.Revoked = t.o.Now
		if err := txn.ChangedOne(t.o.Exec(ctx, `UPDATE registration_keys SET revoked = $3 WHERE org = $1 AND id = $2`, org, k.ID, column.Time(t.o.Now))); err != nil {
			return err
		}
		return t.o.Audit(ctx, "key.revoke", k.label(), before, map[string]any{"state": "revoked"})
	})
	return k, err
}

// shorten keeps a secret out of error texts when a user passes it instead of a name.
func shorten(name string) string {
	if strings.HasPrefix(name, KeyPrefix) && len(name) > shownOfKey {
		return name[:shownOfKey] + "…"
	}
	return name
}

// keyOrganization is the organization of a key, even of a key that is no longer usable.
func keyOrganization(ctx context.Context, q engine.Queryer, secret string) (txn.Organization, error) {
	var hash string
	want := column.Hash(secret)
	o, err := txn.ScanOrganization(func(dest ...any) error {
		return q.QueryRow(ctx, `SELECT `+txn.OrgColumns+`, k.hash FROM organizations
			JOIN (SELECT org, hash FROM registration_keys WHERE hash = $1) k ON k.org = id`, want).Scan(append(dest, &hash)...)
	})
	if engine.IsNoRow(err) || err == nil && !column.SameHash(hash, want) {
		return txn.Organization{}, errUnknownKey(secret)
	}
	return o, err
}

// errUnknownKey shows as much of the key as a list of keys does.
func errUnknownKey(secret string) error {
	return mesh.Errorf(mesh.Denied, "store: registration key %s is not valid here: it was deleted, or it belongs to another service", shorten(secret))
}

// useKey takes one use of a key in the transaction that adds the node. Of two
// transactions that want the last use, the second finds none left.
func (t *Tx) useKey(ctx context.Context, secret string) (RegistrationKey, error) {
	if secret == "" {
		return RegistrationKey{}, errNoKey()
	}
	used, err := t.o.Exec(ctx, `UPDATE registration_keys
		SET uses_left = CASE WHEN reusable THEN uses_left ELSE uses_left - 1 END, used = used + 1, last_used = $3
		WHERE org = $1 AND hash = $2 AND revoked = 0 AND (expires = 0 OR expires > $3) AND (reusable OR uses_left > 0)`,
		t.o.ID, column.Hash(secret), column.Time(t.o.Now))
	if err != nil {
		return RegistrationKey{}, err
	}
	k, err := scanKey(t.o.QueryRow(ctx, `SELECT `+keyColumns+` FROM registration_keys WHERE org = $1 AND hash = $2`,
		t.o.ID, column.Hash(secret)).Scan)
	switch {
	case engine.IsNoRow(err):
		return k, errUnknownKey(secret)
	case err != nil:
		return k, err
	case used == 0:
		return k, k.whyNot(t.o.Now)
	}
	return k, nil
}

// whyNot is the reason why a key cannot be used. Its holder may know the reason.
func (k RegistrationKey) whyNot(now time.Time) error {
	switch {
	case !k.Revoked.IsZero():
		return mesh.Errorf(mesh.Denied, "store: registration key %s… was revoked", k.Prefix)
	case !k.Expires.IsZero() && !k.Expires.After(now):
		return mesh.Errorf(mesh.Denied, "store: registration key %s… expired at %s", k.Prefix, k.Expires.Format(time.RFC3339))
	}
	return mesh.Errorf(mesh.Denied, "store: registration key %s… is used up", k.Prefix)
}
