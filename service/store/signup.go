package store

import (
	"context"
	"crypto/subtle"
	"strings"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/engine"
)

// NewPerson is somebody who comes for the first time.
type NewPerson struct {
	Email        string
	Name         string
	PasswordHash string // empty: signs in at the identity provider only
	Issuer       string // of the identity provider, with Subject; empty = none
	Subject      string
	Invitation   string // secret of the invitation that is used up; empty = none
	Setup        string // secret of the set-up link that is used up; empty = none
	Own          string // name of the organization they get if they are in none; made free by a number
}

// AddPerson makes a person with all that belongs to the first sign-in, or nothing:
// identity, membership by invitation, an organization of their own if they are in
// none. With Setup the database must have nobody yet.
func (s *Store) AddPerson(ctx context.Context, p NewPerson) (u User, err error) {
	err = s.write(ctx, "add person", func(tx engine.Tx) error {
		u, err = s.addPerson(ctx, tx, p)
		return err
	})
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func (s *Store) addPerson(ctx context.Context, tx engine.Tx, p NewPerson) (User, error) {
	if p.Setup != "" {
		if err := s.useSetup(ctx, tx, p.Setup); err != nil {
			return User{}, err
		}
	}
	if p.Invitation != "" { // before anything shows who is known here
		if _, err := openInvitation(ctx, tx, p.Invitation, s.opts.Now()); err != nil {
			return User{}, err
		}
	}
	now := s.opts.Now()
	email, err := cleanEmail(p.Email)
	if err != nil {
		return User{}, err
	}
	if a := actorOf(ctx); a.UserID == "" && a.Name == "" { // who signs up acts for themselves
		a.Name = email
		ctx = WithActor(ctx, a)
	}
	u, err := insertUser(ctx, tx, User{Email: email, Name: p.Name, PasswordHash: p.PasswordHash}, now)
	if err != nil {
		return User{}, err
	}
	if p.Issuer != "" {
		_, err := tx.Exec(ctx, `INSERT INTO identities (issuer, subject, user_id, created) VALUES ($1, $2, $3, $4)`, p.Issuer, p.Subject, u.ID, fromTime(now))
		if isDuplicate(err) {
			return User{}, mesh.Errorf(mesh.Conflict, "store: this identity is known already")
		}
		if err != nil {
			return User{}, err
		}
	}
	if p.Invitation != "" {
		if _, err := s.acceptInvitation(ctx, tx, p.Invitation, u.ID); err != nil {
			return User{}, err
		}
	}
	if p.Own != "" {
		if err := s.firstOrganization(ctx, tx, u.ID, p.Own); err != nil {
			return User{}, err
		}
	}
	return oneUser(ctx, tx, `id`, u.ID)
}

// uniqueOrgName is a free organization name like wish.
func uniqueOrgName(ctx context.Context, tx engine.Tx, wish string) (string, error) {
	return ipam.UniqueName(ctx, wish, func(ctx context.Context, name string) (bool, error) {
		var n int
		err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM organizations WHERE name = $1`, name).Scan(&n)
		return n > 0, err
	})
}

// PrepareParams are what a service needs before there is anybody.
type PrepareParams struct {
	TLSCert, TLSKey []byte // PEM
	PublicURL       string
}

// Prepare fills an empty database with its own facts, but no person. One that has
// them is left alone; either way Meta says what holds.
func (s *Store) Prepare(ctx context.Context, p PrepareParams) (m Meta, err error) {
	err = s.write(ctx, "prepare", func(tx engine.Tx) error {
		m, err = s.readMeta(ctx, tx)
		if mesh.KindOf(err) == mesh.NotFound {
			m, err = newMeta(ctx, tx, BootstrapParams{TLSCert: p.TLSCert, TLSKey: p.TLSKey, PublicURL: p.PublicURL}, s.opts.Now())
		}
		return err
	})
	return m, err
}

const metaSetup = "setup_hash"

// NewSetup makes the secret of the set-up link and forgets the one before. A
// database that has people has no set-up: mesh.Conflict.
func (s *Store) NewSetup(ctx context.Context) (secret string, err error) {
	secret = newSecret(setupPrefix)
	err = s.write(ctx, "make set-up link", func(tx engine.Tx) error {
		if err := noUsers(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, metaSetup, hashSecret(secret))
		return err
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

func noUsers(ctx context.Context, q engine.Queryer) error {
	has, err := hasUsers(ctx, q)
	if err == nil && has {
		err = mesh.Errorf(mesh.Conflict, "store: the service is set up already; sign in, or ask for an invitation")
	}
	return err
}

// CheckSetup says whether a secret is that of the set-up link: mesh.Denied if not,
// mesh.Conflict if the service is set up.
func (s *Store) CheckSetup(ctx context.Context, secret string) error {
	return s.read(ctx, "check set-up link", func(q engine.Queryer) error { return checkSetup(ctx, q, secret) })
}

func checkSetup(ctx context.Context, q engine.Queryer, secret string) error {
	if err := noUsers(ctx, q); err != nil {
		return err
	}
	var hash string
	err := q.QueryRow(ctx, `SELECT value FROM meta WHERE name = $1`, metaSetup).Scan(&hash)
	if err != nil && !isNoRow(err) {
		return err
	}
	if isNoRow(err) || subtle.ConstantTimeCompare([]byte(hash), []byte(hashSecret(secret))) != 1 {
		return mesh.Errorf(mesh.Denied, "store: this is not the set-up link that the service showed last on its console; a restart shows a new one")
	}
	return nil
}

func (s *Store) useSetup(ctx context.Context, tx engine.Tx, secret string) error {
	if err := checkSetup(ctx, tx, secret); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM meta WHERE name = $1`, metaSetup)
	return err
}

// OwnName is what a person's own organization is called if nothing else is said:
// "default" for the first, then the local part of the address.
func OwnName(first bool, email string) string {
	if first {
		return "default"
	}
	local, _, _ := strings.Cut(email, "@")
	return local
}
