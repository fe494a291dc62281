package people

import (
	"context"
	"slices"
	"strings"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

func organizationInfo(o store.Organization, role mesh.Role, isDefault bool) control.Organization {
	return control.Organization{ID: o.ID, Name: o.Name, Role: role, Default: isDefault, Pools: o.Pools(), Created: o.Created}
}

func memberInfo(m store.Member) control.Member {
	return control.Member{ID: m.UserID, Email: m.Email, Name: m.Name, Role: m.Role, Since: m.Since}
}

// Organizations lists the caller's organizations, the default one first, then by
// name.
func (p *People) Organizations(ctx context.Context, c Caller) ([]control.Organization, error) {
	if err := c.may(false); err != nil {
		return nil, err
	}
	return p.organizations(ctx, c)
}

func (p *People) organizations(ctx context.Context, c Caller) ([]control.Organization, error) {
	u, err := p.store.User(ctx, c.UserID)
	if err != nil {
		return nil, err
	}
	ms, err := p.store.Memberships(ctx, c.UserID)
	if err != nil {
		return nil, err
	}
	orgs := make([]control.Organization, len(ms))
	for i, m := range ms {
		orgs[i] = organizationInfo(m.Organization, m.Role, m.Organization.ID == u.DefaultOrg)
	}
	slices.SortStableFunc(orgs, func(a, b control.Organization) int {
		switch {
		case a.Default == b.Default:
			return 0
		case a.Default:
			return -1
		}
		return 1
	})
	return orgs, nil
}

// Organization finds one of the caller's organizations by ID or name; "" is the
// default one.
func (p *People) Organization(ctx context.Context, c Caller, org string) (control.Organization, error) {
	_, o, err := p.enter(ctx, c, org, toSee)
	return o, err
}

// mostOrganizations is how many organizations one person may own.
const mostOrganizations = 50

// CreateOrganization creates an organization that the caller owns. Its name is a DNS
// label, unique in the whole service.
func (p *People) CreateOrganization(ctx context.Context, c Caller, name string) (control.Organization, error) {
	if err := c.may(true); err != nil {
		return control.Organization{}, err
	}
	have, err := p.organizations(ctx, c)
	if err != nil {
		return control.Organization{}, err
	}
	owned := 0
	for _, o := range have {
		if o.Role == mesh.RoleOwner {
			owned++
		}
	}
	if owned >= mostOrganizations {
		return control.Organization{}, mesh.Errorf(mesh.Exhausted, "people: %s owns %d organizations already", c.Email, owned)
	}
	o, err := p.store.CreateOrganization(c.acting(ctx), name, c.UserID)
	if err != nil {
		return control.Organization{}, err
	}
	return organizationInfo(o, mesh.RoleOwner, false), nil
}

// SetDefault makes an organization the caller's default: nodes that the caller approves
// join it unless the caller chooses another.
func (p *People) SetDefault(ctx context.Context, c Caller, org string) error {
	ctx, o, err := p.enter(ctx, c, org, toLeave)
	if err != nil {
		return err
	}
	return hide(p.store.SetDefaultOrganization(ctx, o.ID, c.UserID), "organization")
}

// Members lists the people of an organization, by address.
func (p *People) Members(ctx context.Context, c Caller, org string) ([]control.Member, error) {
	_, o, err := p.enter(ctx, c, org, toSee)
	if err != nil {
		return nil, err
	}
	ms, err := p.store.Members(ctx, o.ID)
	return each(ms, memberInfo), err
}

// memberID finds a member by ID or e-mail address.
func (p *People) memberID(ctx context.Context, o control.Organization, user string) (string, error) {
	ms, err := p.store.Members(ctx, o.ID)
	if err != nil {
		return "", err
	}
	for _, m := range ms {
		if m.UserID == user || m.Email == strings.ToLower(user) {
			return m.UserID, nil
		}
	}
	return "", notFound("member")
}

// SetRole changes the role of a member, named by ID or e-mail address. Only an
// owner makes or changes owners; the last owner stays one.
func (p *People) SetRole(ctx context.Context, c Caller, org, user string, role mesh.Role) (control.Member, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return control.Member{}, err
	}
	if err := role.Check(); err != nil {
		return control.Member{}, err
	}
	id, err := p.memberID(ctx, o, user)
	if err != nil {
		return control.Member{}, err
	}
	m, err := p.store.ChangeMember(ctx, o.ID, id, role, func(m store.Member) error {
		switch {
		case m.Role == "":
			return notFound("member")
		case !o.Role.Grants(m.Role) || !o.Role.Grants(role):
			return errOwnersOnly()
		}
		return nil
	})
	return memberInfo(m), hide(err, "member")
}

// RemoveMember ends a membership. Everybody may end their own, except the last owner.
func (p *People) RemoveMember(ctx context.Context, c Caller, org, user string) (control.Member, error) {
	need, own := toManage, user == c.UserID || strings.EqualFold(user, c.Email)
	if own {
		need = toLeave
	}
	ctx, o, err := p.enter(ctx, c, org, need)
	if err != nil {
		return control.Member{}, err
	}
	id, err := p.memberID(ctx, o, user)
	if err != nil {
		return control.Member{}, err
	}
	m, err := p.store.RemoveMember(ctx, o.ID, id, func(m store.Member) error {
		if !own && !o.Role.Grants(m.Role) {
			return errOwnersOnly()
		}
		return nil
	})
	return memberInfo(m), hide(err, "member")
}
