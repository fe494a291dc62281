package store

import (
	"context"
	"time"

	"nexd/mesh"
)

// Meta is what bootstrap makes once for the whole database and all replicas.
type Meta struct {
	Epoch     string // of mesh.Version: random, new after a restore
	Secret    []byte // 32 random bytes; the service derives its keys from it
	TLSCert   []byte // PEM; empty without a TLS key of its own
	TLSKey    []byte // PEM
	PublicURL string // as given to bootstrap; may be empty
	Created   time.Time
}

// BootstrapParams are the first user, organization and key of a database.
type BootstrapParams struct {
	Email            string
	PasswordHash     string // opaque here: the service's encoded argon2id
	OrganizationName string // "" = "default"
	TLSCert, TLSKey  []byte // PEM, made by the service
	PublicURL        string
	Key              *KeyParams // first registration key; nil = none
}

// Bootstrapped is what Bootstrap made. KeySecret is the text of the first
// registration key, not to be had again.
type Bootstrapped struct {
	Meta         Meta
	User         User
	Organization Organization
	Key          RegistrationKey
	KeySecret    string
}

// Bootstrap fills an empty database. One that has been filled is left alone, with
// a mesh.Conflict error.
func (s *Store) Bootstrap(ctx context.Context, p BootstrapParams) (Bootstrapped, error) {
	return Bootstrapped{}, errNotYet
}

// Meta reads the database's own facts; before Bootstrap it is a mesh.NotFound
// error with the command to run.
func (s *Store) Meta(ctx context.Context) (Meta, error) { return Meta{}, errNotYet }

// RenewEpoch gives the database a new epoch, so that agents take its maps
// although their revisions may be lower: for use after a restore from a backup.
func (s *Store) RenewEpoch(ctx context.Context) (epoch string, err error) { return "", errNotYet }

// User is a person who may sign in.
type User struct {
	ID           string
	Email        string // lower case
	PasswordHash string // opaque here
	Created      time.Time
}

// CreateUser adds a person. A known e-mail address is a mesh.Conflict error.
func (s *Store) CreateUser(ctx context.Context, email, passwordHash string) (User, error) {
	return User{}, errNotYet
}

// UserByEmail finds a person; case does not matter.
func (s *Store) UserByEmail(ctx context.Context, email string) (User, error) {
	return User{}, errNotYet
}

// SetPasswordHash replaces the password hash of a user.
func (s *Store) SetPasswordHash(ctx context.Context, userID, passwordHash string) error {
	return errNotYet
}

// Role is what a user may do in an organization.
type Role string

// RoleOwner may do everything in an organization, RoleMember may use it.
const (
	RoleOwner  Role = "owner"
	RoleMember Role = "member"
)

// Membership is a user's place in an organization.
type Membership struct {
	Organization Organization
	Role         Role
}

// Memberships lists the organizations of a user, by name.
func (s *Store) Memberships(ctx context.Context, userID string) ([]Membership, error) {
	return nil, errNotYet
}

// SetMembership gives a user a role in an organization.
func (s *Store) SetMembership(ctx context.Context, org mesh.OrgID, userID string, role Role) error {
	return errNotYet
}
