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
	return control.Errorf(mesh.Denied, control.ReasonRole, "people: only an owner may do this to owners")
}

func (p *People) invitationInfo(i store.Invitation) control.Invitation {
	return control.Invitation{ID: i.ID, Role: i.Role, Email: i.Email, State: i.State(p.now()), Inviter: i.Inviter, UsedBy: i.UsedBy, Created: i.Created, Expires: i.Expires}
}

// Invite makes an invitation, for 7 days unless the caller asks for another time, of
// at most 30 days. Nobody invites to a role above their own. The result alone carries
// the link.
func (p *People) Invite(ctx context.Context, c Caller, org string, want control.NewInvitation) (control.Invitation, error) {
	life := lifetime(want.ExpiresIn)
	ctx, o, err := p.enter(ctx, c, org, toManage)
	switch {
	case err != nil:
		return control.Invitation{}, err
	case !o.Role.Grants(want.Role):
		return control.Invitation{}, errOwnersOnly()
	case life < 0 || life > mostInviteLife:
		return control.Invitation{}, mesh.Errorf(mesh.Invalid, "people: an invitation cannot last %v; at most %v", life, mostInviteLife)
	case life == 0:
		life = inviteLife
	}
	i, secret, err := p.store.CreateInvitation(ctx, o.ID, want.Role, want.Email, life)
	if err != nil {
		return control.Invitation{}, err
	}
	out := p.invitationInfo(i)
	out.Link = p.Link("/invite/" + secret)
	return out, nil
}

// Invitations lists the invitations of an organization, newest first.
func (p *People) Invitations(ctx context.Context, c Caller, org string) ([]control.Invitation, error) {
	_, o, err := p.enter(ctx, c, org, toInspect)
	if err != nil {
		return nil, err
	}
	is, err := p.store.Invitations(ctx, o.ID)
	return each(is, p.invitationInfo), err
}

// RevokeInvitation ends an invitation.
func (p *People) RevokeInvitation(ctx context.Context, c Caller, org, id string) (control.Invitation, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return control.Invitation{}, err
	}
	i, err := p.store.RevokeInvitation(ctx, o.ID, id, func(i store.Invitation) error {
		if !o.Role.Grants(i.Role) {
			return errOwnersOnly()
		}
		return nil
	})
	return p.invitationInfo(i), hide(err, "invitation")
}

// Invited shows an invitation, and the ID and name of its organization, to a person
// who holds its link (/invite/TOKEN). An invitation that is used, expired, revoked or
// unknown is mesh.NotFound.
func (p *People) Invited(ctx context.Context, token string, from netip.Addr) (control.Invitation, control.Organization, error) {
	if err := allow(p.signIns, from, addrEvery, "look at an invitation"); err != nil {
		return control.Invitation{}, control.Organization{}, err
	}
	if token == "" || len(token) > mostSecret {
		return control.Invitation{}, control.Organization{}, notFound("invitation")
	}
	i, o, err := p.store.Invitation(ctx, token)
	return p.invitationInfo(i), control.Organization{ID: o.ID, Name: o.Name}, hide(err, "invitation")
}

// AcceptInvitation makes the caller a member and uses the invitation up. A caller who
// is a member already keeps the role, and the invitation stays open.
func (p *People) AcceptInvitation(ctx context.Context, c Caller, token string) (control.Organization, error) {
	if err := c.may(true); err != nil {
		return control.Organization{}, err
	}
	if token == "" || len(token) > mostSecret {
		return control.Organization{}, notFound("invitation")
	}
	o, err := p.store.AcceptInvitation(c.acting(ctx), token, c.UserID)
	if err != nil {
		return control.Organization{}, hide(err, "invitation")
	}
	return p.Organization(ctx, c, string(o.ID))
}
