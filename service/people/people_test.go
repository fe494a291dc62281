package people_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

const password = "correct horse"

var here = netip.MustParseAddr("192.0.2.1")

// town is a set-up service with a clock of its own.
type town struct {
	*people.People
	t     *testing.T
	st    *store.Store
	clock atomic.Int64
	log   bytes.Buffer
	ada   people.Caller // owner of "default"
}

func (w *town) now() time.Time       { return time.Unix(1_800_000_000, 0).Add(time.Duration(w.clock.Load())) }
func (w *town) pass(d time.Duration) { w.clock.Add(int64(d)) }

func newTown(t *testing.T, opts ...func(*people.Config)) *town {
	t.Helper()
	w := emptyTown(t, opts...)
	link, err := w.NewSetupLink(t.Context())
	if err != nil || !strings.HasPrefix(link, "https://mesh.example/setup?token=nxu_") {
		t.Fatalf("NewSetupLink = %q, %v", link, err)
	}
	s, err := w.Setup(t.Context(), strings.TrimPrefix(link, "https://mesh.example/setup?token="), "ada@example.com", "Ada", password, here)
	if err != nil {
		t.Fatal(err)
	}
	w.ada = s.Caller
	return w
}

func emptyTown(t *testing.T, opts ...func(*people.Config)) *town {
	t.Helper()
	leak.Check(t)
	w := &town{t: t}
	var err error
	w.st, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "nexd.db"), store.Options{Create: true, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.st.Close() })
	if _, err := w.st.Prepare(t.Context(), store.PrepareParams{}); err != nil {
		t.Fatal(err)
	}
	cfg := people.Config{Store: w.st, Now: w.now, PublicURL: "https://mesh.example/", Logger: slog.New(slog.NewTextHandler(&w.log, nil))}
	for _, o := range opts {
		o(&cfg)
	}
	if w.People, err = people.New(cfg); err != nil {
		t.Fatal(err)
	}
	people.Cheapen(w.People)
	return w
}

// invited is a new person with a role in "default".
func (w *town) invited(email string, role mesh.Role) people.Caller {
	w.t.Helper()
	_, link, err := w.invite(w.ada, "", role, "", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := w.SignUp(w.t.Context(), strings.TrimPrefix(link, "https://mesh.example/invite/"), email, "", password, here)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Caller
}

// seconds is a life as a call carries it.
func seconds(life time.Duration) int64 {
	if life < 0 {
		return -1
	}
	return int64(life / time.Second)
}

// invite makes an invitation and its link.
func (w *town) invite(c people.Caller, org string, role mesh.Role, email string, life time.Duration) (control.Invitation, string, error) {
	w.t.Helper()
	i, err := w.Invite(w.t.Context(), c, org, control.NewInvitation{Role: role, Email: email, ExpiresIn: seconds(life)})
	return i, i.Link, err
}

// token makes an API token and its text.
func (w *town) token(c people.Caller, description string, scopes []string, life time.Duration) (control.Token, string, error) {
	w.t.Helper()
	t, err := w.CreateToken(w.t.Context(), c, control.NewToken{Description: description, Scopes: scopes, ExpiresIn: seconds(life)})
	return t, t.Text, err
}

// outsider is a person of an organization of their own.
func (w *town) outsider(email string) people.Caller {
	w.t.Helper()
	u, err := w.st.AddPerson(w.t.Context(), store.NewPerson{Email: email, Own: store.OwnName(false, email)})
	if err != nil {
		w.t.Fatal(err)
	}
	return people.Caller{UserID: u.ID, Email: u.Email, Via: people.ViaWeb, From: here}
}

func wantKind(t *testing.T, what string, err error, kind mesh.Kind, reason string) {
	t.Helper()
	if err == nil || mesh.KindOf(err) != kind || control.ReasonOf(err) != reason {
		t.Errorf("%s: %v (%v, reason %q), want %v, reason %q", what, err, mesh.KindOf(err), control.ReasonOf(err), kind, reason)
	}
}

func TestSetup(t *testing.T) {
	w := emptyTown(t)
	ctx := t.Context()
	if first, err := w.FirstRun(ctx); !first || err != nil {
		t.Errorf("FirstRun = %v, %v", first, err)
	}
	_, err := w.Login(ctx, "ada@example.com", password, here)
	wantKind(t, "signing in before", err, mesh.Denied, "")
	_, err = w.LoginOIDC(ctx, people.External{Issuer: "i", Subject: "s", Email: "a@b.example", EmailVerified: true}, "", here)
	wantKind(t, "the identity provider before", err, mesh.Denied, "")
	for _, bad := range []string{"", "x", "nxu_guessed", strings.Repeat("x", 5000)} {
		wantKind(t, "CheckSetup", w.CheckSetup(ctx, bad), mesh.Denied, "")
		_, err := w.Setup(ctx, bad, "eve@example.com", "", password, here)
		wantKind(t, "Setup", err, mesh.Denied, "")
	}
	link, err := w.NewSetupLink(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(link, "token=")
	_, err = w.Setup(ctx, token, "ada@example.com", "", "short", here)
	wantKind(t, "a short password", err, mesh.Invalid, "")
	_, err = w.Setup(ctx, token, "nobody", "", password, here)
	wantKind(t, "an address that is none", err, mesh.Invalid, "")
	s, err := w.Setup(ctx, token, "ada@example.com", "Ada", password, here)
	if err != nil || s.Cookie == "" || s.Caller.Email != "ada@example.com" || s.Caller.Name != "Ada" {
		t.Fatalf("Setup = %+v, %v", s, err)
	}
	_, err = w.Setup(ctx, token, "eve@example.com", "", password, here)
	wantKind(t, "a second set-up", err, mesh.Conflict, "")
	if link, err := w.NewSetupLink(ctx); link != "" || err != nil {
		t.Errorf("a link afterwards: %q, %v", link, err)
	}
	if first, err := w.FirstRun(ctx); first || err != nil {
		t.Errorf("FirstRun = %v, %v", first, err)
	}
	o, err := w.Organization(ctx, s.Caller, "")
	if err != nil || o.Name != "default" || o.Role != mesh.RoleOwner || !o.Default {
		t.Errorf("Organization = %+v, %v", o, err)
	}
}

func TestSessions(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	one, err := w.Login(ctx, " ADA@example.com", password, here)
	if err != nil {
		t.Fatal(err)
	}
	two, err := w.Login(ctx, "ada@example.com", password, here)
	if err != nil || one.Cookie == two.Cookie || one.Caller.CSRF == two.Caller.CSRF || one.Caller.Session == two.Caller.Session {
		t.Fatalf("two sign-ins are not two sessions: %v", err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", one, one, one), one.Cookie) {
		t.Error("printing a session shows its cookie")
	}
	c, err := w.Session(ctx, one.Cookie, here)
	if err != nil || c.UserID != w.ada.UserID || c.CSRF != one.Caller.CSRF || c.Via != people.ViaWeb || strings.Contains(one.Cookie, c.CSRF) || strings.Contains(one.Cookie, c.Session) {
		t.Errorf("Session = %+v, %v", c, err)
	}
	gone := func(what, cookie string) {
		t.Helper()
		_, err := w.Session(ctx, cookie, here)
		wantKind(t, what, err, mesh.Denied, control.ReasonSession)
	}
	for _, bad := range []string{"", "x", one.Caller.Session, one.Caller.CSRF, one.Cookie + "x", strings.Repeat("x", 1<<20)} {
		gone("a cookie that is none", bad)
	}
	if err := w.Logout(ctx, one.Cookie); err != nil {
		t.Error(err)
	}
	gone("after signing out", one.Cookie)
	three, err := w.SetPassword(ctx, c, password, "another horse")
	if err != nil {
		t.Fatal(err)
	}
	gone("after the new password", two.Cookie)
	if _, err := w.Session(ctx, three.Cookie, here); err != nil {
		t.Errorf("the new session: %v", err)
	}
	_, err = w.SetPassword(ctx, three.Caller, password, "third horse!")
	wantKind(t, "a wrong old password", err, mesh.Denied, "")
	_, err = w.SetPassword(ctx, three.Caller, "", "third horse!")
	wantKind(t, "no old password", err, mesh.Denied, "")
	if err := w.LogoutEverywhere(ctx, three.Caller); err != nil {
		t.Error(err)
	}
	gone("after signing out everywhere", three.Cookie)
	four, err := w.Login(ctx, "ada@example.com", "another horse", here)
	if err != nil {
		t.Fatal(err)
	}
	w.pass(8 * 24 * time.Hour)
	gone("a week later", four.Cookie)
}

func TestGuessingIsSlowedDown(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}) }
	texts := map[string][]string{}
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		denied, slowed := 0, 0
		for i := range 12 { // from everywhere
			_, err := w.Login(ctx, email, "wrong horse", addr(i))
			switch mesh.KindOf(err) {
			case mesh.Denied:
				denied++
			case mesh.Exhausted:
				slowed++
				if control.RetryAfter(err) < time.Second {
					t.Errorf("no word when to come back: %v", err)
				}
			default:
				t.Errorf("Login: %v", err)
			}
			texts[email] = append(texts[email], err.Error())
		}
		if denied != 10 || slowed != 2 {
			t.Errorf("%s: %d denied, %d slowed down", email, denied, slowed)
		}
	}
	if a, b := strings.Join(texts["ada@example.com"], "\n"), strings.Join(texts["nobody@example.com"], "\n"); a != b {
		t.Errorf("an account that is there answers\n%s\none that is not\n%s", a, b)
	}
	_, err := w.Login(ctx, "ada@example.com", password, addr(99))
	wantKind(t, "the right one meanwhile", err, mesh.Exhausted, "")
	w.pass(time.Minute)
	if _, err := w.Login(ctx, "ada@example.com", password, addr(99)); err != nil {
		t.Errorf("the right one a minute later: %v", err)
	}
	slowed := 0
	for i := range 40 { // one address, many accounts
		if _, err := w.Login(ctx, fmt.Sprintf("u%d@example.com", i), "wrong horse", netip.MustParseAddr("2001:db8::1").Next()); mesh.KindOf(err) == mesh.Exhausted {
			slowed++
		}
		if i == 31 {
			break
		}
	}
	if slowed != 2 {
		t.Errorf("an address with 32 accounts was slowed down %d times", slowed)
	}
	if strings.Contains(w.log.String(), "wrong horse") || strings.Contains(w.log.String(), "nobody@") {
		t.Errorf("the log shows what was typed:\n%s", w.log.String())
	}
}

// Of many guesses at once no more are looked at than of many one by one.
func TestGuessingAtOnce(t *testing.T) {
	w := newTown(t)
	var looked atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			_, err := w.Login(context.Background(), "ada@example.com", "wrong horse", netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
			if mesh.KindOf(err) == mesh.Denied {
				looked.Add(1)
			} else if mesh.KindOf(err) != mesh.Exhausted {
				t.Errorf("Login: %v", err)
			}
		})
	}
	wg.Wait()
	if looked.Load() != 10 {
		t.Errorf("%d guesses were looked at", looked.Load())
	}
}

func TestUnknownAccountsTakeAsLong(t *testing.T) {
	w := newTown(t)
	dear, err := people.New(people.Config{Store: w.st, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := people.HashPassword(password)
	if err == nil {
		err = w.st.SetPasswordHash(t.Context(), w.ada.UserID, hash)
	}
	if err != nil {
		t.Fatal(err)
	}
	took := func(email string) time.Duration {
		best := time.Hour
		for range 3 {
			start := time.Now()
			_, _ = dear.Login(t.Context(), email, "wrong horse", here)
			best = min(best, time.Since(start))
		}
		return best
	}
	a, b := took("ada@example.com"), took("nobody@example.com")
	if a > 3*b || b > 3*a {
		t.Errorf("a known account took %v, an unknown one %v", a, b)
	}
}

func TestOIDC(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	bob := people.External{Issuer: "https://idp", Subject: "1", Email: "bob@example.com", EmailVerified: true, Name: "Bob"}
	_, err := w.LoginOIDC(ctx, bob, "", here)
	wantKind(t, "without an invitation", err, mesh.Denied, "")
	invite := func() string {
		_, link, err := w.invite(w.ada, "", mesh.RoleMember, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		return link[strings.LastIndex(link, "/")+1:]
	}
	token := invite()
	nameless := bob
	nameless.Email = ""
	_, err = w.LoginOIDC(ctx, nameless, token, here)
	wantKind(t, "no address", err, mesh.Denied, "")
	// Some providers, Microsoft's among them, say of no address that it is verified.
	unverified := people.External{Issuer: "https://idp", Subject: "9", Email: "carol@example.com"}
	if s, err := w.LoginOIDC(ctx, unverified, invite(), here); err != nil || s.Caller.Email != "carol@example.com" {
		t.Errorf("an invited person whose address nobody vouches for: %+v, %v", s.Caller, err)
	}
	unverified.Subject, unverified.Email = "10", "ada@example.com"
	_, err = w.LoginOIDC(ctx, unverified, token, here)
	wantKind(t, "the address of an account, not vouched for", err, mesh.Conflict, "")
	thief := people.External{Issuer: "https://idp", Subject: "2", Email: "ada@example.com", EmailVerified: true}
	_, err = w.LoginOIDC(ctx, thief, token, here)
	wantKind(t, "the address of an account", err, mesh.Conflict, "")
	s, err := w.LoginOIDC(ctx, bob, token, here)
	if err != nil || s.Caller.Email != "bob@example.com" {
		t.Fatalf("LoginOIDC = %+v, %v", s, err)
	}
	renamed := bob
	renamed.Email = "ada@example.com" // what the provider says later makes nobody somebody else
	again, err := w.LoginOIDC(ctx, renamed, "", here)
	if err != nil || again.Caller.UserID != s.Caller.UserID || again.Caller.Email != "bob@example.com" {
		t.Errorf("LoginOIDC again = %+v, %v", again.Caller, err)
	}
	for _, other := range []people.External{{Issuer: "https://idp", Subject: "3", Email: bob.Email, EmailVerified: true}, {Issuer: "https://other", Subject: "1", Email: bob.Email, EmailVerified: true}} {
		_, err := w.LoginOIDC(ctx, other, invite(), here)
		wantKind(t, "another identity of the same address", err, mesh.Conflict, "")
	}
	for _, none := range []people.External{{}, {Issuer: "https://idp"}, {Subject: "1"}} {
		_, err := w.LoginOIDC(ctx, none, "", here)
		wantKind(t, "half an identity", err, mesh.Invalid, "")
	}
	_, err = w.Login(ctx, "bob@example.com", "", here)
	wantKind(t, "a password of who has none", err, mesh.Denied, "")
	open := newTown(t, func(c *people.Config) { c.OpenSignUp = true })
	unverified.Email = "dora@example.com"
	_, err = open.LoginOIDC(ctx, unverified, "", here)
	wantKind(t, "an address that nobody vouches for", err, mesh.Denied, "")
	s, err = open.LoginOIDC(ctx, bob, "", here)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := open.Organization(ctx, s.Caller, ""); err != nil || o.Name != "bob" || o.Role != mesh.RoleOwner {
		t.Errorf("open sign-up gives %+v, %v", o, err)
	}
}

func TestRolesOfPeople(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	admin, member, eve := w.invited("admin@example.com", mesh.RoleAdmin), w.invited("member@example.com", mesh.RoleMember), w.outsider("eve@example.com")
	denied := func(what string, err error) {
		t.Helper()
		wantKind(t, what, err, mesh.Denied, control.ReasonRole)
	}
	set := func(c people.Caller, user string, role mesh.Role) error {
		_, err := w.SetRole(ctx, c, "default", user, role)
		return err
	}
	denied("an admin makes an owner", set(admin, "member@example.com", mesh.RoleOwner))
	denied("an admin makes themselves owner", set(admin, admin.UserID, mesh.RoleOwner))
	denied("an admin takes the owner's role", set(admin, "ada@example.com", mesh.RoleMember))
	denied("a member makes themselves admin", set(member, member.UserID, mesh.RoleAdmin))
	_, _, err := w.invite(admin, "", mesh.RoleOwner, "", 0)
	denied("an admin invites an owner", err)
	_, err = w.RemoveMember(ctx, admin, "", "ada@example.com")
	denied("an admin removes an owner", err)
	_, err = w.RemoveMember(ctx, member, "", "admin@example.com")
	denied("a member removes an admin", err)
	wantKind(t, "a role that is none", set(w.ada, "member@example.com", "god"), mesh.Invalid, "")
	wantKind(t, "a stranger becomes a member", set(w.ada, "eve@example.com", mesh.RoleMember), mesh.NotFound, "")
	wantKind(t, "nobody becomes a member", set(w.ada, "nobody@example.com", mesh.RoleMember), mesh.NotFound, "")
	wantKind(t, "the last owner steps down", set(w.ada, w.ada.UserID, mesh.RoleAdmin), mesh.Conflict, "")
	_, err = w.RemoveMember(ctx, w.ada, "", w.ada.UserID)
	wantKind(t, "the last owner leaves", err, mesh.Conflict, "")
	if err := set(admin, "member@example.com", mesh.RoleAuditor); err != nil {
		t.Error(err)
	}
	if _, err := w.Audit(ctx, member, "", "", 0); err != nil {
		t.Errorf("a new role holds at once: %v", err)
	}
	if _, err := w.RemoveMember(ctx, member, "default", member.UserID); err != nil {
		t.Errorf("leaving: %v", err)
	}
	_, err = w.Nodes(ctx, member, "default")
	wantKind(t, "who has left", err, mesh.NotFound, "")
	_, err = w.Nodes(ctx, eve, "default")
	wantKind(t, "who never was in", err, mesh.NotFound, "")
	for _, nobody := range []people.Caller{{}, {UserID: w.ada.UserID}, {Via: people.ViaWeb}, {UserID: w.ada.UserID, Via: people.ViaToken}} {
		if _, err := w.Nodes(ctx, nobody, "default"); mesh.KindOf(err) != mesh.Denied {
			t.Errorf("%+v sees nodes: %v", nobody, err)
		}
	}
}

func TestInvitations(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	inv, link, err := w.invite(w.ada, "", mesh.RoleMember, "bob@example.com", 0)
	if err != nil || inv.Expires.Sub(w.now()) != 7*24*time.Hour || inv.Inviter != "ada@example.com" {
		t.Fatalf("Invite = %+v, %v", inv, err)
	}
	token := link[strings.LastIndex(link, "/")+1:]
	if got, o, err := w.Invited(ctx, token, here); err != nil || got.ID != inv.ID || o.Name != "default" {
		t.Errorf("Invited = %+v, %+v, %v", got, o, err)
	}
	_, err = w.SignUp(ctx, token, "mallory@example.com", "", password, here)
	wantKind(t, "another address", err, mesh.Denied, "")
	_, err = w.SignUp(ctx, "", "mallory@example.com", "", password, here)
	wantKind(t, "no invitation", err, mesh.NotFound, "")
	if _, err := w.SignUp(ctx, token, "Bob@example.com", "Bob", password, here); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Invited(ctx, token, here)
	wantKind(t, "a used one", err, mesh.NotFound, "")
	for _, life := range []time.Duration{-1, 31 * 24 * time.Hour} {
		_, _, err := w.invite(w.ada, "", mesh.RoleMember, "", life)
		wantKind(t, "an invitation of a strange life", err, mesh.Invalid, "")
	}
	inv, link, _ = w.invite(w.ada, "", mesh.RoleMember, "", time.Hour)
	eve := w.outsider("eve@example.com")
	_, err = w.RevokeInvitation(ctx, eve, "", inv.ID) // in eve's own organization
	wantKind(t, "another's invitation", err, mesh.NotFound, "")
	if _, err := w.RevokeInvitation(ctx, w.ada, "", inv.ID); err != nil {
		t.Error(err)
	}
	_, err = w.AcceptInvitation(ctx, eve, link[strings.LastIndex(link, "/")+1:])
	wantKind(t, "a revoked one", err, mesh.NotFound, "")
	_, link, _ = w.invite(w.ada, "", mesh.RoleAuditor, "", time.Hour)
	if o, err := w.AcceptInvitation(ctx, eve, link[strings.LastIndex(link, "/")+1:]); err != nil || o.Role != mesh.RoleAuditor || o.Default {
		t.Errorf("AcceptInvitation = %+v, %v", o, err)
	}
	if orgs, err := w.Organizations(ctx, eve); err != nil || len(orgs) != 2 || orgs[0].Name != "eve" {
		t.Errorf("Organizations = %+v, %v", orgs, err)
	}
	if err := w.SetDefault(ctx, eve, "default"); err != nil {
		t.Error(err)
	}
	if o, err := w.Organization(ctx, eve, ""); err != nil || o.Name != "default" {
		t.Errorf("the default organization is %+v, %v", o, err)
	}
}

func TestTokens(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	tok, text, err := w.token(w.ada, "ci", []string{control.ScopeRead}, time.Hour)
	if err != nil || !strings.HasPrefix(text, tok.Prefix) {
		t.Fatalf("CreateToken = %+v, %v", tok, err)
	}
	c, err := w.Token(ctx, text, here)
	if err != nil || c.UserID != w.ada.UserID || c.Via != people.ViaToken || c.Session != tok.ID {
		t.Fatalf("Token = %+v, %v", c, err)
	}
	if _, err := w.Keys(ctx, c, ""); err != nil {
		t.Errorf("reading: %v", err)
	}
	_, err = w.CreateKey(ctx, c, "", control.NewKey{})
	wantKind(t, "a reading token writes", err, mesh.Denied, control.ReasonRole)
	_, _, err = w.token(c, "", []string{control.ScopeWrite}, 0)
	wantKind(t, "a reading token makes a writing one", err, mesh.Denied, control.ReasonRole)
	_, text, _ = w.token(w.ada, "", []string{control.ScopeWrite}, time.Hour)
	writer, _ := w.Token(ctx, text, here)
	child, _, err := w.token(writer, "", []string{control.ScopeWrite}, 300*24*time.Hour)
	if err != nil || child.Expires.After(writer.Expires) {
		t.Errorf("a token makes one that lives until %v, itself until %v; %v", child.Expires, writer.Expires, err)
	}
	for _, scopes := range [][]string{nil, {"admin"}, {control.ScopeRead, "*"}} {
		_, _, err := w.token(w.ada, "", scopes, 0)
		wantKind(t, "strange scopes", err, mesh.Invalid, "")
	}
	for _, life := range []time.Duration{-1, 400 * 24 * time.Hour} {
		_, _, err := w.token(w.ada, "", []string{control.ScopeRead}, life)
		wantKind(t, "a strange life", err, mesh.Invalid, "")
	}
	if _, err := w.RevokeToken(ctx, w.ada, tok.ID); err != nil {
		t.Error(err)
	}
	_, err = w.RevokeToken(ctx, w.outsider("eve@example.com"), child.ID)
	wantKind(t, "another's token", err, mesh.NotFound, "")
	w.pass(time.Hour)
	for what, bad := range map[string]string{"expired": text, "none": "", "unknown": "nxt_xxxxxxxxxxxxxxxxxxxxxx", "another's kind": "nxs_" + text[4:], "long": "nxt_" + strings.Repeat("x", 1<<20)} {
		_, err := w.Token(ctx, bad, here)
		wantKind(t, "a token that is "+what, err, mesh.Denied, control.ReasonToken)
	}
}

func TestSeal(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	sealed, err := w.Seal(ctx, "oidc", []byte("state"))
	if err != nil || strings.Contains(sealed, "state") {
		t.Fatalf("Seal = %q, %v", sealed, err)
	}
	if b, err := w.Unseal(ctx, "oidc", sealed); err != nil || string(b) != "state" {
		t.Errorf("Unseal = %q, %v", b, err)
	}
	for _, tt := range [][2]string{{"other", sealed}, {"oidc", ""}, {"oidc", "!"}, {"oidc", sealed[:len(sealed)-2]}, {"oidc", "A" + sealed[1:]}} {
		if _, err := w.Unseal(ctx, tt[0], tt[1]); mesh.KindOf(err) != mesh.Denied && tt[1] != sealed {
			t.Errorf("Unseal(%q): %v", tt, err)
		}
	}
	_, err = w.Unseal(ctx, "other", sealed)
	wantKind(t, "another purpose", err, mesh.Denied, "")
	w.pass(10 * time.Minute)
	_, err = w.Unseal(ctx, "oidc", sealed)
	wantKind(t, "ten minutes later", err, mesh.Denied, "")
}

func TestNewChecks(t *testing.T) {
	_, err := people.New(people.Config{})
	wantKind(t, "no store", err, mesh.Invalid, "")
	w := emptyTown(t, func(c *people.Config) { c.PublicURL = "" })
	if link, err := w.NewSetupLink(t.Context()); err != nil || !strings.HasPrefix(link, "/setup?token=") {
		t.Errorf("NewSetupLink = %q, %v", link, err)
	}
	if _, err := w.Login(canceled(), "a@b", password, here); !errors.Is(err, context.Canceled) {
		t.Errorf("Login of who went away: %v", err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
