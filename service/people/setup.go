package people

import (
	"context"
	"net/netip"

	"nexd/mesh"
	"nexd/service/store"
)

// FirstRun reports whether the database has no people yet, so that Setup is the only way
// in.
func (p *People) FirstRun(ctx context.Context) (bool, error) {
	has, err := p.store.HasUsers(ctx)
	return !has && err == nil, err
}

// NewSetupLink makes the link that leads to Setup and invalidates earlier links. It is
// for the console of the service. The link is "" if the database has people.
func (p *People) NewSetupLink(ctx context.Context) (link string, err error) {
	secret, err := p.store.NewSetup(ctx)
	switch {
	case mesh.KindOf(err) == mesh.Conflict:
		return "", nil
	case err != nil:
		return "", err
	}
	return p.Link("/setup?token=" + secret), nil
}

// CheckSetup reports an error unless the token of a set-up link (/setup?token=…) is
// valid, so that the form is not shown in vain.
func (p *People) CheckSetup(ctx context.Context, token string) error {
	if token == "" || len(token) > mostSecret {
		token = "none"
	}
	return p.store.CheckSetup(ctx, token)
}

// Setup creates the first person, the owner of the organization "default", opens a
// session and uses the token up.
func (p *People) Setup(ctx context.Context, token, email, name, password string, from netip.Addr) (Session, error) {
	if err := allow(p.signIns, from, addrEvery, "set up"); err != nil {
		return Session{}, err
	}
	if err := p.CheckSetup(ctx, token); err != nil { // before the expensive hash
		return Session{}, err
	}
	return p.first(ctx, store.NewPerson{Setup: token, Email: email, Name: name, Own: store.OwnName(true, email)}, password, from)
}
