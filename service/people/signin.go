package people

import (
	"context"
	"net/netip"

	"nexd/mesh"
)

// External is a person as an identity provider vouches for them. Identity is
// Issuer and Subject, never the address.
type External struct {
	Issuer, Subject string
	Email           string
	EmailVerified   bool
	Name            string
}

// Login opens a session for an e-mail address and a password. Every way in which
// it may fail is the same mesh.Denied error after the same time, except too many
// tries: mesh.Exhausted with control.RetryAfter, whether the account is there or not.
func (p *People) Login(ctx context.Context, email, password string, from netip.Addr) (Session, error) {
	return Session{}, errUnbuilt
}

// LoginOIDC opens a session for a person of the identity provider. Who is not
// known yet needs an invitation (the text of its link; empty = none), unless
// Config.OpenSign. A known person with an invitation accepts it.
func (p *People) LoginOIDC(ctx context.Context, who External, invitation string, from netip.Addr) (Session, error) {
	return Session{}, errUnbuilt
}

// SignUp makes a local account by an invitation and opens its first session. A
// person who has an account signs in and calls AcceptInvitation instead.
func (p *People) SignUp(ctx context.Context, invitation, email, name, password string, from netip.Addr) (Session, error) {
	return Session{}, errUnbuilt
}

// Session finds who a cookie belongs to; an unknown, ended or revoked one is
// mesh.Denied with control.ReasonSession.
func (p *People) Session(ctx context.Context, cookie string, from netip.Addr) (Caller, error) {
	return Caller{}, errUnbuilt
}

// Logout ends the session of a cookie; an unknown one is no error.
func (p *People) Logout(ctx context.Context, cookie string) error { return errUnbuilt }

// LogoutEverywhere ends every session of the caller.
func (p *People) LogoutEverywhere(ctx context.Context, c Caller) error { return errUnbuilt }

// SetPassword replaces the caller's password and ends all sessions of the caller
// but a new one, which it opens. A person without a password gives an empty old one.
func (p *People) SetPassword(ctx context.Context, c Caller, old, password string) (Session, error) {
	return Session{}, errUnbuilt
}

// FirstRun says whether the database has no person yet, so that only Setup can
// open it.
func (p *People) FirstRun(ctx context.Context) (bool, error) { return false, errUnbuilt }

// NewSetupLink makes the one link by which Setup can be reached and forgets those
// before; "" if the database has people. It is for the console of the service.
func (p *People) NewSetupLink(ctx context.Context) (link string, err error) { return "", errUnbuilt }

// CheckSetup says whether a token of the set-up link (/setup?token=…) is good, so
// that the form need not be shown in vain.
func (p *People) CheckSetup(ctx context.Context, token string) error { return errUnbuilt }

// Setup makes the first person, owner of the organization "default", and opens a
// session. The token is used up with it.
func (p *People) Setup(ctx context.Context, token, email, name, password string, from netip.Addr) (Session, error) {
	return Session{}, errUnbuilt
}

// Seal makes text that only a service on this database can read, for this purpose
// and until life is over: for the state of a sign-in that is under way at the
// identity provider, which has to come back to any replica.
func (p *People) Seal(ctx context.Context, purpose string, plain []byte) (string, error) {
	return "", errUnbuilt
}

// Unseal reads what Seal made at most ten minutes ago.
func (p *People) Unseal(ctx context.Context, purpose, sealed string) ([]byte, error) {
	return nil, errUnbuilt
}

var errUnbuilt = mesh.Errorf(mesh.Unavailable, "people: not built yet")
