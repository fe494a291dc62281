package people

import (
	"context"
	"net/netip"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

const (
	inviteLife     = 7 * 24 * time.Hour
	mostInviteLife = 30 * 24 * time.Hour
)

func errOwnersOnly() error {
	return control.Errorf(mesh.Denied, control.ReasonRole, "people: only an owner may do this with owners")
}

// Invite makes a link by which one person may join. life 0 is 7 days, at most 30.
// Nobody invites to a higher role than their own. The link is not to be had again.
func (p *People) Invite(ctx context.Context, c Caller, org string, role mesh.Role, email string, life time.Duration) (inv store.Invitation, link string, err error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	switch {
	case err != nil:
		return inv, "", err
	case !o.Role.Grants(role):
		return inv, "", errOwnersOnly()
	case life < 0 || life > mostInviteLife:
		return inv, "", mesh.Errorf(mesh.Invalid, "people: an invitation of %v; at most %v", life, mostInviteLife)
	case life == 0:
		life = inviteLife
	}
	inv, secret, err := p.store.CreateInvitation(ctx, o.ID, role, email, life)
	if err != nil {
		return inv, "", err
	}
	return inv, p.Link("/invite/" + secret), nil
}

// Invitations lists the invitations of an organization, newest first.
func (p *People) Invitations(ctx context.Context, c Caller, org string) ([]store.Invitation, error) {
	_, o, err := p.enter(ctx, c, org, toInspect)
	if err != nil {
		return nil, err
	}
	return p.store.Invitations(ctx, o.ID)
}

// RevokeInvitation ends an invitation.
func (p *People) RevokeInvitation(ctx context.Context, c Caller, org, id string) (store.Invitation, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return store.Invitation{}, err
	}
	inv, err := p.store.RevokeInvitation(ctx, o.ID, id, func(i store.Invitation) error {
		if !o.Role.Grants(i.Role) {
			return errOwnersOnly()
		}
		return nil
	})
	return inv, hide(err, "invitation")
}

// Invited says what an invitation is for, to whoever holds its link (/invite/TOKEN).
// One that is used, expired, revoked or unknown is mesh.NotFound.
func (p *People) Invited(ctx context.Context, token string, from netip.Addr) (store.Invitation, store.Organization, error) {
	if err := allow(p.signIns, from, addrEvery, "look at an invitation"); err != nil {
		return store.Invitation{}, store.Organization{}, err
	}
	if token == "" || len(token) > mostSecret {
		return store.Invitation{}, store.Organization{}, notFound("invitation")
	}
	inv, o, err := p.store.Invitation(ctx, token)
	return inv, o, hide(err, "invitation")
}

// AcceptInvitation makes the caller a member. It is good once; who is a member
// already keeps the role and the invitation stays open.
func (p *People) AcceptInvitation(ctx context.Context, c Caller, token string) (Org, error) {
	if err := c.may(true); err != nil {
		return Org{}, err
	}
	if token == "" || len(token) > mostSecret {
		return Org{}, notFound("invitation")
	}
	o, err := p.store.AcceptInvitation(c.acting(ctx), token, c.UserID)
	if err != nil {
		return Org{}, hide(err, "invitation")
	}
	return p.Organization(ctx, c, string(o.ID))
}
