package store

import (
	"context"
	"strings"
	"time"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// KeyParams say what a registration key is good for.
type KeyParams struct {
	Description string
	Uses        int           // how many nodes it may add; 0 = any number (reusable)
	Lifetime    time.Duration // 0 = for ever
}

// RegistrationKey is a key as it is kept: its secret is not.
type RegistrationKey struct {
	ID          string
	Prefix      string // the first characters of the secret, for recognition
	Description string
	Reusable    bool // any number of uses
	UsesLeft    int  // when not Reusable
	Used        int
	Expires     time.Time // zero = never
	Revoked     time.Time // zero = not
	Created     time.Time
	LastUsed    time.Time
}

// KeyPrefix starts the text of every registration key.
const KeyPrefix = "nxk_"

// shownOfKey is how much of a secret is kept for recognition: 30 of its 160 bits.
const shownOfKey = len(KeyPrefix) + 6

// maxDescription bounds a key's description, in bytes.
const maxDescription = 200

// CreateKey makes a registration key and its secret text, which is shown once:
// the store keeps its SHA-256. The text has only letters, digits and "_", so the
// service can put a pin behind it.
func (s *Store) CreateKey(ctx context.Context, org mesh.OrgID, p KeyParams) (k RegistrationKey, secret string, err error) {
	err = s.update(ctx, "create registration key", org, func(t *Tx) error {
		k, secret, err = insertKey(ctx, t.tx, org, p, t.now)
		return err
	})
	if err != nil {
		return RegistrationKey{}, "", err
	}
	return k, secret, nil
}

func insertKey(ctx context.Context, tx engine.Tx, org mesh.OrgID, p KeyParams, now time.Time) (RegistrationKey, string, error) {
	switch {
	case p.Uses < 0:
		return RegistrationKey{}, "", mesh.Errorf(mesh.Invalid, "store: a registration key of %d uses", p.Uses)
	case p.Lifetime < 0:
		return RegistrationKey{}, "", mesh.Errorf(mesh.Invalid, "store: a registration key that lives for %v", p.Lifetime)
	case len(p.Description) > maxDescription:
		return RegistrationKey{}, "", mesh.Errorf(mesh.Invalid, "store: a description of %d bytes is too long; %d fit", len(p.Description), maxDescription)
	}
	secret := newSecret(KeyPrefix)
	k := RegistrationKey{
		ID: newID(), Prefix: secret[:shownOfKey], Description: p.Description,
		Reusable: p.Uses == 0, UsesLeft: p.Uses, Created: now,
	}
	if p.Lifetime > 0 {
		k.Expires = now.Add(p.Lifetime)
	}
	_, err := tx.Exec(ctx, `INSERT INTO registration_keys
		(org, id, hash, prefix, description, reusable, uses_left, expires, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		org, k.ID, hashSecret(secret), k.Prefix, k.Description, k.Reusable, k.UsesLeft, fromTime(k.Expires), fromTime(now))
	if err != nil {
		return RegistrationKey{}, "", err
	}
	return k, secret, writeAudit(ctx, tx, org, now, "key.create", k.label(), nil,
		map[string]any{"description": k.Description, "uses": p.Uses, "expires": k.Expires})
}

// label names a key in the audit.
func (k RegistrationKey) label() string { return "key " + k.ID + " (" + k.Prefix + "…)" }

const keyColumns = `id, prefix, description, reusable, uses_left, used, expires, revoked, created, last_used`

func scanKey(scan func(...any) error) (k RegistrationKey, err error) {
	var expires, revoked, created, lastUsed int64
	err = scan(&k.ID, &k.Prefix, &k.Description, &k.Reusable, &k.UsesLeft, &k.Used, &expires, &revoked, &created, &lastUsed)
	k.Expires, k.Revoked, k.Created, k.LastUsed = toTime(expires), toTime(revoked), toTime(created), toTime(lastUsed)
	return k, err
}

// Keys lists the registration keys of an organization, newest first.
func (s *Store) Keys(ctx context.Context, org mesh.OrgID) (ks []RegistrationKey, err error) {
	err = s.read(ctx, "list registration keys", func(q engine.Queryer) error {
		ks, err = collect(ctx, q, scanKey, `SELECT `+keyColumns+` FROM registration_keys WHERE org = $1 ORDER BY created DESC, id`, org)
		return err
	})
	return ks, err
}

// RevokeKey ends a key, named by its ID or its Prefix. Nodes it added stay. A key
// revoked before stays as it is.
func (s *Store) RevokeKey(ctx context.Context, org mesh.OrgID, idOrPrefix string) (k RegistrationKey, err error) {
	err = s.update(ctx, "revoke registration key", org, func(t *Tx) error {
		found, err := collect(ctx, t.tx, scanKey, `SELECT `+keyColumns+` FROM registration_keys
			WHERE org = $1 AND (id = $2 OR prefix = $2)`, org, idOrPrefix)
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return mesh.Errorf(mesh.NotFound, "store: no registration key %s in organization %s", shorten(idOrPrefix), t.org.Name)
		case len(found) > 1:
			return mesh.Errorf(mesh.Conflict, "store: %d registration keys start with %s; name one by its ID", len(found), idOrPrefix)
		}
		if k = found[0]; !k.Revoked.IsZero() {
			return nil
		}
		before := map[string]any{"state": k.State(t.now), "used": k.Used, "description": k.Description}
		k.Revoked = t.now
		if err := changedOne(t.exec(ctx, `UPDATE registration_keys SET revoked = $3 WHERE org = $1 AND id = $2`, org, k.ID, fromTime(t.now))); err != nil {
			return err
		}
		return t.audit(ctx, "key.revoke", k.label(), before, map[string]any{"state": "revoked"})
	})
	return k, err
}

// shorten keeps a secret that was given in place of a name out of error texts.
func shorten(name string) string {
	if strings.HasPrefix(name, KeyPrefix) && len(name) > shownOfKey {
		return name[:shownOfKey] + "…"
	}
	return name
}

// KeyOrganization says which organization a key's secret belongs to, whether the
// key may still be used or not; an unknown one is mesh.Denied.
func (s *Store) KeyOrganization(ctx context.Context, secret string) (o Organization, err error) {
	err = s.read(ctx, "find registration key", func(q engine.Queryer) error {
		o, err = keyOrganization(ctx, q, secret)
		return err
	})
	return o, err
}

func keyOrganization(ctx context.Context, q engine.Queryer, secret string) (Organization, error) {
	var hash string
	want := hashSecret(secret)
	o, err := scanOrganization(func(dest ...any) error {
		return q.QueryRow(ctx, `SELECT `+orgColumns+`, k.hash FROM organizations
			JOIN (SELECT org, hash FROM registration_keys WHERE hash = $1) k ON k.org = id`, want).Scan(append(dest, &hash)...)
	})
	if isNoRow(err) || err == nil && !sameHash(hash, want) {
		return Organization{}, errUnknownKey()
	}
	return o, err
}

func errUnknownKey() error { return mesh.Errorf(mesh.Denied, "store: unknown registration key") }

// useKey takes one use of a key, in the transaction that adds the node: of two
// that want the last use, the second finds none left.
func (t *Tx) useKey(ctx context.Context, secret string) error {
	if secret == "" {
		return errNoKey()
	}
	used, err := t.exec(ctx, `UPDATE registration_keys
		SET uses_left = CASE WHEN reusable THEN uses_left ELSE uses_left - 1 END, used = used + 1, last_used = $3
		WHERE org = $1 AND hash = $2 AND revoked = 0 AND (expires = 0 OR expires > $3) AND (reusable OR uses_left > 0)`,
		t.org.ID, hashSecret(secret), fromTime(t.now))
	if err != nil || used == 1 {
		return err
	}
	return t.whyNot(ctx, secret)
}

// whyNot says what is wrong with a key; its holder may know that.
func (t *Tx) whyNot(ctx context.Context, secret string) error {
	k, err := scanKey(t.tx.QueryRow(ctx, `SELECT `+keyColumns+` FROM registration_keys WHERE org = $1 AND hash = $2`,
		t.org.ID, hashSecret(secret)).Scan)
	switch {
	case isNoRow(err):
		return errUnknownKey()
	case err != nil:
		return err
	case !k.Revoked.IsZero():
		return mesh.Errorf(mesh.Denied, "store: registration key %s… was revoked", k.Prefix)
	case !k.Expires.IsZero() && !k.Expires.After(t.now):
		return mesh.Errorf(mesh.Denied, "store: registration key %s… expired at %s", k.Prefix, k.Expires.Format(time.RFC3339))
	}
	return mesh.Errorf(mesh.Denied, "store: registration key %s… is used up", k.Prefix)
}
