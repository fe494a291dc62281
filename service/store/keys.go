package store

import (
	"context"
	"time"

	"nexd/mesh"
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

// CreateKey makes a registration key and its secret text, which is shown once:
// the store keeps its SHA-256. The text has only letters, digits and "_", so the
// service can put a pin behind it.
func (s *Store) CreateKey(ctx context.Context, org mesh.OrgID, p KeyParams) (RegistrationKey, string, error) {
	return RegistrationKey{}, "", errNotYet
}

// Keys lists the registration keys of an organization, newest first.
func (s *Store) Keys(ctx context.Context, org mesh.OrgID) ([]RegistrationKey, error) {
	return nil, errNotYet
}

// RevokeKey ends a key, named by its ID or its Prefix. Nodes it added stay.
func (s *Store) RevokeKey(ctx context.Context, org mesh.OrgID, idOrPrefix string) (RegistrationKey, error) {
	return RegistrationKey{}, errNotYet
}

// KeyOrganization says which organization a key's secret belongs to, whether the
// key may still be used or not; an unknown one is mesh.Denied.
func (s *Store) KeyOrganization(ctx context.Context, secret string) (Organization, error) {
	return Organization{}, errNotYet
}
