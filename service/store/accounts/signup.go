package accounts

import (
	"context"
	"strings"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// NewPerson is a person who signs up.
type NewPerson struct {
	Email        string
	Name         string
	PasswordHash string // empty: signs in at the identity provider only
	Issuer       string // of the identity provider, with Subject; empty = none
	Subject      string
	Invitation   string // secret of an invitation to use up; empty = none
	Setup        string // secret of the set-up link to use up; empty = none
	Own          string // name of a new organization if the person would be in none; empty = none
}

// AddPerson adds a user together with everything that belongs to signing up: an
// identity, the membership of an invitation, an organization of their own. On an error
// it adds nothing. With Setup, the database must have no users.
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
	if p.Invitation != "" { // first, so that no error shows who has an account
		if _, err := openInvitation(ctx, tx, p.Invitation, tx.Now); err != nil {
			return User{}, err
		}
	}
	email, err := cleanEmail(p.Email)
	if err != nil {
		return User{}, err
	}
	if a := txn.ActorOf(ctx); a.UserID == "" && a.Name == "" { // a person who signs up is the actor
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
			return User{}, mesh.Errorf(mesh.Conflict, "store: another user already has this identity")
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

// OwnName is the name of a person's own organization unless they choose another:
// "default" for the first person, then the local part of the e-mail address.
func OwnName(first bool, email string) string {
	if first {
		return "default"
	}
	local, _, _ := strings.Cut(email, "@")
	return local
}
