package accounts

import (
	"context"
	"strings"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
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
	err = s.db.Write(ctx, "add person", func(tx *txn.Tx) error {
		u, err = addPerson(ctx, tx, p)
		return err
	})
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func addPerson(ctx context.Context, tx *txn.Tx, p NewPerson) (User, error) {
	if p.Setup != "" {
		if err := useSetup(ctx, tx, p.Setup); err != nil {
			return User{}, err
		}
	}
	if p.Invitation != "" { // before anything shows who is known here
		if _, err := openInvitation(ctx, tx, p.Invitation, tx.Now); err != nil {
			return User{}, err
		}
	}
	email, err := cleanEmail(p.Email)
	if err != nil {
		return User{}, err
	}
	if a := txn.ActorOf(ctx); a.UserID == "" && a.Name == "" { // who signs up acts for themselves
		a.Name = email
		ctx = txn.WithActor(ctx, a)
	}
	u, err := InsertUser(ctx, tx, User{Email: email, Name: p.Name, PasswordHash: p.PasswordHash})
	if err != nil {
		return User{}, err
	}
	if p.Issuer != "" {
		_, err := tx.Exec(ctx, `INSERT INTO identities (issuer, subject, user_id, created) VALUES ($1, $2, $3, $4)`, p.Issuer, p.Subject, u.ID, column.Time(tx.Now))
		if engine.IsDuplicate(err) {
			return User{}, mesh.Errorf(mesh.Conflict, "store: this identity is known already")
		}
		if err != nil {
			return User{}, err
		}
	}
	if p.Invitation != "" {
		if _, err := acceptInvitation(ctx, tx, p.Invitation, u.ID); err != nil {
			return User{}, err
		}
	}
	if p.Own != "" {
		if err := firstOrganization(ctx, tx, u.ID, p.Own); err != nil {
			return User{}, err
		}
	}
	return oneUser(ctx, tx, `id`, u.ID)
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
