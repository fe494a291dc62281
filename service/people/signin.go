package people

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"nexd/control"
	"nexd/internal/addrlimit"
	"nexd/mesh"
	"nexd/service/store"
)

const (
	webSessionLife = 7 * 24 * time.Hour
	mostSecret     = 200 // characters; longer text is not looked up
)

// Budgets of guesses: per account at all replicas, and per address.
const (
	loginEvery, loginBurst = 30 * time.Second, 10
	addrEvery, addrBurst   = 2 * time.Second, 30
)

// knownFor is how long an address from which a person signed in keeps a budget of its
// own for that account, so that guesses from elsewhere do not lock the person out.
const knownFor = 30 * 24 * time.Hour

// External is a person as an identity provider describes them. Issuer and Subject are
// their identity; the e-mail address is not.
type External struct {
	Issuer, Subject string
	Email           string
	EmailVerified   bool
	Name            string
}

func errSignIn() error {
	return mesh.Errorf(mesh.Denied, "people: wrong e-mail address or password")
}

// Login opens a session for an e-mail address and a password. Every failure is the same
// mesh.Denied error after the same time, whether the account exists or not; too many
// tries are mesh.Exhausted with control.RetryAfter.
func (p *People) Login(ctx context.Context, email, password string, from netip.Addr) (Session, error) {
	if err := allow(p.signIns, from, addrEvery, "sign in"); err != nil {
		return Session{}, err
	}
	email = strings.ToLower(strings.TrimSpace(email))
	budget, known := budgetName("login", email), budgetName("known", email+"\x00"+addrlimit.Source(from).String())
	switch here, err := p.store.Spent(ctx, known); {
	case err != nil:
		return Session{}, err
	case here:
		budget = budgetName("login", known)
	}
	if err := p.take(ctx, budget, loginEvery, loginBurst, "sign in"); err != nil {
		return Session{}, err
	}
	u, err := p.store.UserByEmail(ctx, email)
	if err != nil && mesh.KindOf(err) != mesh.NotFound {
		return Session{}, err
	}
	good, err := p.checkPassword(ctx, u.PasswordHash, password)
	if err != nil {
		return Session{}, err
	}
	if !good {
		p.log.Info("sign-in failed", "addr", from)
		return Session{}, errSignIn()
	}
	if err := p.store.Refill(ctx, budget); err != nil {
		return Session{}, err
	}
	if err := p.store.Spend(ctx, known, p.now().Add(knownFor)); err != nil {
		return Session{}, err
	}
	return p.open(ctx, u, from)
}

// take counts one try against a budget in the database.
func (p *People) take(ctx context.Context, name string, every time.Duration, burst int, doing string) error {
	wait, err := p.store.Take(ctx, name, every, burst)
	if err == nil && wait > 0 {
		err = later(wait, "too many tries to %s; wait a little", doing)
	}
	return err
}

// budgetName hashes text, since people type other things than addresses by mistake.
func budgetName(kind, text string) string {
	sum := sha256.Sum256([]byte(text))
	return kind + ":" + hex.EncodeToString(sum[:16])
}

// open opens a session for a person who has proved their identity.
func (p *People) open(ctx context.Context, u store.User, from netip.Addr) (Session, error) {
	own := Caller{UserID: u.ID, Email: u.Email, Name: u.Name, Via: ViaWeb, From: from}
	if err := p.store.FirstOrganization(own.acting(ctx), u.ID, store.OwnName(false, u.Email)); err != nil {
		return Session{}, err
	}
	cookie, ws, err := p.store.CreateWebSession(ctx, u.ID, webSessionLife)
	if err != nil {
		return Session{}, err
	}
	p.log.Info("signed in", "user", u.Email, "addr", from)
	return Session{Cookie: cookie, Expires: ws.Expires, Caller: callerOf(ws, cookie, from)}, nil
}

func callerOf(ws store.WebSession, cookie string, from netip.Addr) Caller {
	return Caller{UserID: ws.User.ID, Email: ws.User.Email, Name: ws.User.Name, Via: ViaWeb,
		Session: ws.ID, CSRF: csrfToken(cookie), From: from, Expires: ws.Expires}
}

// csrfToken is derived from the secret cookie and does not reveal it.
func csrfToken(cookie string) string {
	sum := sha256.Sum256([]byte("nexd csrf v1\x00" + cookie))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// LoginOIDC opens a session for a person of the identity provider. A person who is not
// known yet needs an invitation (the text at the end of its link; empty = none) unless
// Config.OpenSignUp is set. A known person with an invitation accepts it.
func (p *People) LoginOIDC(ctx context.Context, who External, invitation string, from netip.Addr) (Session, error) {
	if who.Issuer == "" || who.Subject == "" {
		return Session{}, mesh.Errorf(mesh.Invalid, "people: the identity provider sends no issuer and subject")
	}
	u, err := p.store.UserByIdentity(ctx, who.Issuer, who.Subject)
	switch {
	case mesh.KindOf(err) == mesh.NotFound:
		u, err = p.newExternal(ctx, who, invitation, from)
		if err != nil {
			return Session{}, err
		}
		return p.open(ctx, u, from)
	case err != nil:
		return Session{}, err
	}
	s, err := p.open(ctx, u, from)
	if err != nil || invitation == "" {
		return s, err
	}
	if _, err := p.AcceptInvitation(ctx, s.Caller, invitation); err != nil {
		p.log.Info("invitation not accepted at sign-in", "user", u.Email, "err", err)
	}
	return s, nil
}

// newExternal creates a person of the identity provider. An existing account with the
// same address may belong to somebody else and is never taken over.
func (p *People) newExternal(ctx context.Context, who External, invitation string, from netip.Addr) (store.User, error) {
	has, err := p.store.HasUsers(ctx)
	switch {
	case err != nil:
		return store.User{}, err
	case !has:
		return store.User{}, mesh.Errorf(mesh.Denied, "people: the service is not set up yet; use the set-up link on its console")
	case invitation == "" && !p.cfg.OpenSignUp:
		return store.User{}, mesh.Errorf(mesh.Denied, "people: there is no account for this identity; ask for an invitation")
	case who.Email == "":
		return store.User{}, mesh.Errorf(mesh.Denied, "people: the identity provider sends no e-mail address; add one to your account there, or grant this service the scope for it")
	case !who.EmailVerified && invitation == "": // an invitation is proof enough, as at SignUp
		return store.User{}, mesh.Errorf(mesh.Denied, "people: the identity provider has not verified the e-mail address %s; verify it there, or ask for an invitation", who.Email)
	}
	u, err := p.store.AddPerson(selfActing(ctx, from), store.NewPerson{
		Email: who.Email, Name: who.Name, Issuer: who.Issuer, Subject: who.Subject,
		Invitation: invitation, Own: store.OwnName(false, who.Email),
	})
	if mesh.KindOf(err) == mesh.Conflict {
		return u, mesh.Errorf(mesh.Conflict, "people: an account with the address %s already exists; sign in with its password", who.Email)
	}
	return u, err
}

// selfActing is ctx for people who create their own account; the store adds the name.
func selfActing(ctx context.Context, from netip.Addr) context.Context {
	return store.WithActor(ctx, store.Actor{Via: string(ViaWeb), From: from})
}

// SignUp creates an account with a password for the holder of an invitation and opens
// its first session. A person who has an account uses AcceptInvitation instead.
func (p *People) SignUp(ctx context.Context, invitation, email, name, password string, from netip.Addr) (Session, error) {
	if err := allow(p.signIns, from, addrEvery, "sign up"); err != nil {
		return Session{}, err
	}
	if invitation == "" {
		return Session{}, notFound("invitation")
	}
	if _, _, err := p.store.Invitation(ctx, invitation); err != nil { // before the costly hash
		return Session{}, hide(err, "invitation")
	}
	return p.first(ctx, store.NewPerson{Invitation: invitation, Email: email, Name: name, Own: store.OwnName(false, email)}, password, from)
}

// first adds a person with a password and opens their first session.
func (p *People) first(ctx context.Context, who store.NewPerson, password string, from netip.Addr) (s Session, err error) {
	if who.PasswordHash, err = p.hashPassword(ctx, password); err != nil {
		return Session{}, err
	}
	u, err := p.store.AddPerson(selfActing(ctx, from), who)
	if err != nil {
		return Session{}, hide(err, "invitation")
	}
	return p.open(ctx, u, from)
}

// Session finds the person that a cookie belongs to. An unknown, ended or revoked
// session is mesh.Denied with control.ReasonSession.
func (p *People) Session(ctx context.Context, cookie string, from netip.Addr) (Caller, error) {
	none := control.Errorf(mesh.Denied, control.ReasonSession, "people: the session has ended; sign in again")
	if cookie == "" || len(cookie) > mostSecret {
		return Caller{}, none
	}
	ws, err := p.store.WebSession(ctx, cookie)
	switch mesh.KindOf(err) {
	case mesh.Denied, mesh.NotFound:
		return Caller{}, none
	}
	if err != nil {
		return Caller{}, err
	}
	return callerOf(ws, cookie, from), nil
}

// Logout ends the session of a cookie; an unknown one is no error.
func (p *People) Logout(ctx context.Context, cookie string) error {
	if cookie == "" || len(cookie) > mostSecret {
		return nil
	}
	return p.store.DeleteWebSession(ctx, cookie)
}

// LogoutEverywhere ends every session of the caller.
func (p *People) LogoutEverywhere(ctx context.Context, c Caller) error {
	if err := c.may(true); err != nil {
		return err
	}
	return p.store.DeleteWebSessions(ctx, c.UserID)
}

// SetPassword replaces the caller's password, ends all sessions of the caller and opens
// a new one. The old password of a person without a password is empty.
func (p *People) SetPassword(ctx context.Context, c Caller, old, password string) (Session, error) {
	if err := c.may(true); err != nil {
		return Session{}, err
	}
	if err := p.take(ctx, "password:"+c.UserID, loginEvery, loginBurst, "change the password"); err != nil {
		return Session{}, err
	}
	u, err := p.store.User(ctx, c.UserID)
	if err != nil {
		return Session{}, err
	}
	good, err := p.checkPassword(ctx, u.PasswordHash, old)
	if err != nil {
		return Session{}, err
	}
	if !good && (u.PasswordHash != "" || old != "") {
		return Session{}, mesh.Errorf(mesh.Denied, "people: the old password is wrong")
	}
	hash, err := p.hashPassword(ctx, password)
	if err != nil {
		return Session{}, err
	}
	if err := p.store.SetPasswordHash(c.acting(ctx), c.UserID, hash); err != nil {
		return Session{}, err
	}
	return p.open(ctx, u, c.From)
}
