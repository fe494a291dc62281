package web

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

// t0 is when the tests happen.
var t0 = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// fake is a Backend with one organization's worth of everything. It notes what
// was asked of it and fails where fail says so.
type fake struct {
	mu       sync.Mutex
	calls    []string
	fail     map[string]error // by method
	first    bool
	sessions map[string]people.Caller
	made     int
	role     mesh.Role
	orgs     []people.Org
	nodes    []control.NodeInfo
	held     []mesh.Holding
	keyList  []store.RegistrationKey
	pending  control.PendingNode
	members  []store.Member
	invites  []store.Invitation
	tokens   []store.APIToken
	changes  []store.AuditEntry
	external people.External
}

func newFake() *fake {
	org := func(id, name string, def bool) people.Org {
		return people.Org{Organization: store.Organization{ID: mesh.OrgID(id), Name: name}, Role: mesh.RoleOwner, Default: def}
	}
	key := mesh.Key{1, 2, 3}
	held := []mesh.Holding{
		{Prefix: netip.MustParsePrefix("172.24.0.0/24"), Holder: "n1", HolderName: "router-berlin", LastSeen: t0.Add(-20 * time.Second), Advertised: true},
		{Prefix: netip.MustParsePrefix("172.28.0.0/24"), Holder: "n1", HolderName: "router-berlin", LastSeen: t0.Add(-20 * time.Second)},
	}
	return &fake{
		fail: map[string]error{}, sessions: map[string]people.Caller{}, role: mesh.RoleOwner,
		orgs: []people.Org{org("o1", "default", true), org("o2", "lab", false)},
		nodes: []control.NodeInfo{
			{ID: "n2", Name: "laptop", Hostname: "laptop", OS: "darwin", Version: "v0.4.0", Key: mesh.Key{9}, Addresses: addrs("100.64.0.2", "fd7a:1::2"), Created: t0.Add(-time.Hour), LastSeen: t0.Add(-3 * time.Hour)},
			{ID: "n1", Name: "router-berlin", Hostname: "Router-Berlin", OS: "linux", Version: "v0.4.0", Key: key, Addresses: addrs("100.64.0.1", "fd7a:1::1"), Prefixes: held, Created: t0.Add(-time.Hour), LastSeen: t0, Online: true},
		},
		held: held,
		keyList: []store.RegistrationKey{
			{ID: "k1", Prefix: "nxk_abcdef", Description: "build machines", UsesLeft: 3, Used: 2, Expires: t0.Add(time.Hour), Created: t0},
			{ID: "k2", Prefix: "nxk_uvwxyz", Reusable: true, Used: 1, Revoked: t0, Created: t0},
		},
		pending: control.PendingNode{
			UserCode: "WDJB-MJHT", Hostname: "edge-7", OS: "linux", Version: "v0.4.0", Address: netip.MustParseAddr("192.0.2.77"), Key: mesh.Key{7},
			Fingerprint: control.Fingerprint(mesh.Key{7}), Prefixes: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}, State: "pending", Expires: t0.Add(9 * time.Minute),
		},
		members: []store.Member{
			{UserID: "u1", Email: "ada@example.org", Name: "Ada", Role: mesh.RoleOwner, Since: t0.Add(-48 * time.Hour)},
			{UserID: "u2", Email: "bob@example.org", Role: mesh.RoleMember, Since: t0.Add(-time.Hour)},
		},
		invites: []store.Invitation{{Org: "o1", ID: "i1", Role: mesh.RoleMember, Email: "cyd@example.org", Inviter: "ada@example.org", Created: t0, Expires: t0.Add(7 * 24 * time.Hour)}},
		tokens:  []store.APIToken{{ID: "t1", UserID: "u1", Prefix: "nxt_abcdef", Description: "backup", Scopes: "read", Created: t0, Expires: t0.Add(time.Hour)}},
		changes: []store.AuditEntry{{Org: "o1", ID: "a1", Time: t0, Actor: store.Actor{UserID: "u1", Name: "ada@example.org", Via: "web", From: netip.MustParseAddr("192.0.2.1")}, Action: "key.create", Target: "key nxk_abcdef", After: `{"uses":5}`}},
	}
}

func addrs(s ...string) (as []netip.Addr) {
	for _, a := range s {
		as = append(as, netip.MustParseAddr(a))
	}
	return as
}

// note records a call and gives the failure that it shall have.
func (f *fake) note(method string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.TrimSpace(fmt.Sprintln(append([]any{method}, args...)...)))
	return f.fail[method]
}

func (f *fake) called(prefix string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.calls, func(c string) bool { return strings.HasPrefix(c, prefix) })
}

func (f *fake) open(email string) people.Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	s := people.Session{Cookie: fmt.Sprintf("cookie-%d", f.made), Expires: t0.Add(24 * time.Hour)}
	s.Caller = people.Caller{UserID: "u1", Email: email, Name: "Ada", Via: people.ViaWeb, CSRF: fmt.Sprintf("csrf-%d", f.made)}
	f.sessions[s.Cookie] = s.Caller
	return s
}

func (f *fake) org(name string) (people.Org, error) {
	for _, o := range f.orgs {
		if o.Name == name || string(o.ID) == name || name == "" && o.Default {
			o.Role = f.role
			return o, nil
		}
	}
	return people.Org{}, mesh.Errorf(mesh.NotFound, "people: no organization %s", name)
}

func (f *fake) Login(_ context.Context, email, password string, _ netip.Addr) (people.Session, error) {
	if err := f.note("Login", email); err != nil {
		return people.Session{}, err
	}
	if password != "correct horse" {
		return people.Session{}, mesh.Errorf(mesh.Denied, "people: e-mail address or password is wrong")
	}
	return f.open(email), nil
}

func (f *fake) LoginOIDC(_ context.Context, who people.External, invitation string, _ netip.Addr) (people.Session, error) {
	if err := f.note("LoginOIDC", who.Issuer, who.Subject, invitation); err != nil {
		return people.Session{}, err
	}
	f.external = who
	return f.open(who.Email), nil
}

func (f *fake) SignUp(_ context.Context, invitation, email, name, _ string, _ netip.Addr) (people.Session, error) {
	if err := f.note("SignUp", invitation, email, name); err != nil {
		return people.Session{}, err
	}
	return f.open(email), nil
}

func (f *fake) Session(_ context.Context, cookie string, _ netip.Addr) (people.Caller, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.sessions[cookie]
	if !ok {
		return c, control.Errorf(mesh.Denied, control.ReasonSession, "people: no such session")
	}
	return c, f.fail["Session"]
}

func (f *fake) Logout(_ context.Context, cookie string) error {
	err := f.note("Logout", cookie)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sessions, cookie)
	return err
}

func (f *fake) LogoutEverywhere(context.Context, people.Caller) error {
	f.mu.Lock()
	clear(f.sessions)
	f.mu.Unlock()
	return f.note("LogoutEverywhere")
}

func (f *fake) SetPassword(_ context.Context, c people.Caller, old, _ string) (people.Session, error) {
	if err := f.note("SetPassword"); err != nil {
		return people.Session{}, err
	}
	if old != "correct horse" {
		return people.Session{}, mesh.Errorf(mesh.Denied, "people: the present password is wrong")
	}
	return f.open(c.Email), nil
}

func (f *fake) FirstRun(context.Context) (bool, error) { return f.first, f.fail["FirstRun"] }

func (f *fake) CheckSetup(_ context.Context, token string) error {
	if token != "good" {
		return mesh.Errorf(mesh.Denied, "people: the set-up link is not good")
	}
	return nil
}

func (f *fake) Setup(_ context.Context, token, email, name, _ string, _ netip.Addr) (people.Session, error) {
	if err := f.note("Setup", token, email, name); err != nil {
		return people.Session{}, err
	}
	f.first = false
	return f.open(email), nil
}

// Seal and Unseal only bind the purpose.
func (f *fake) Seal(_ context.Context, purpose string, plain []byte) (string, error) {
	return base64.RawURLEncoding.EncodeToString(append([]byte(purpose+"\x00"), plain...)), nil
}

func (f *fake) Unseal(_ context.Context, purpose, sealed string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	rest, ok := strings.CutPrefix(string(b), purpose+"\x00")
	if err != nil || !ok {
		return nil, mesh.Errorf(mesh.Denied, "people: not sealed here")
	}
	return []byte(rest), nil
}

func (f *fake) find(code string) (control.PendingNode, error) {
	if strings.ToUpper(strings.ReplaceAll(code, "-", "")) != "WDJBMJHT" {
		return control.PendingNode{}, mesh.Errorf(mesh.NotFound, "people: no node waits with this code")
	}
	return f.pending, nil
}

func (f *fake) PendingNode(_ context.Context, _ people.Caller, code string) (control.PendingNode, error) {
	if err := f.note("PendingNode", code); err != nil {
		return control.PendingNode{}, err
	}
	return f.find(code)
}

func (f *fake) ApproveNode(_ context.Context, _ people.Caller, code, org string) (control.PendingNode, people.Org, error) {
	if err := f.note("ApproveNode", code, org); err != nil {
		return control.PendingNode{}, people.Org{}, err
	}
	n, err := f.find(code)
	if err != nil {
		return n, people.Org{}, err
	}
	o, err := f.org(org)
	return n, o, err
}

func (f *fake) DenyNode(_ context.Context, _ people.Caller, code string) (control.PendingNode, error) {
	if err := f.note("DenyNode", code); err != nil {
		return control.PendingNode{}, err
	}
	return f.find(code)
}

func (f *fake) Organizations(context.Context, people.Caller) ([]people.Org, error) {
	out := slices.Clone(f.orgs)
	for i := range out {
		out[i].Role = f.role
	}
	return out, f.fail["Organizations"]
}

func (f *fake) Organization(_ context.Context, _ people.Caller, org string) (people.Org, error) {
	return f.org(org)
}

func (f *fake) CreateOrganization(_ context.Context, _ people.Caller, name string) (people.Org, error) {
	if err := f.note("CreateOrganization", name); err != nil {
		return people.Org{}, err
	}
	if strings.ToLower(name) != name {
		return people.Org{}, mesh.Errorf(mesh.Invalid, "ipam: name %q is no DNS label", name)
	}
	return people.Org{Organization: store.Organization{ID: "o3", Name: name}, Role: mesh.RoleOwner}, nil
}

func (f *fake) SetDefault(_ context.Context, _ people.Caller, org string) error {
	return f.note("SetDefault", org)
}

func (f *fake) Members(context.Context, people.Caller, string) ([]store.Member, error) {
	return f.members, f.fail["Members"]
}

func (f *fake) SetRole(_ context.Context, _ people.Caller, org, user string, role mesh.Role) (store.Member, error) {
	return store.Member{UserID: user, Email: "bob@example.org", Role: role}, f.note("SetRole", org, user, role)
}

func (f *fake) RemoveMember(_ context.Context, _ people.Caller, org, user string) (store.Member, error) {
	return store.Member{UserID: user, Email: "bob@example.org"}, f.note("RemoveMember", org, user)
}

func (f *fake) Invite(_ context.Context, _ people.Caller, org string, role mesh.Role, email string, life time.Duration) (store.Invitation, string, error) {
	return store.Invitation{}, "/invite/secret-invitation", f.note("Invite", org, role, email, life)
}

func (f *fake) Invitations(context.Context, people.Caller, string) ([]store.Invitation, error) {
	return f.invites, f.fail["Invitations"]
}

func (f *fake) RevokeInvitation(_ context.Context, _ people.Caller, org, id string) (store.Invitation, error) {
	return store.Invitation{}, f.note("RevokeInvitation", org, id)
}

func (f *fake) Invited(_ context.Context, token string, _ netip.Addr) (store.Invitation, store.Organization, error) {
	if token != "good" {
		return store.Invitation{}, store.Organization{}, mesh.Errorf(mesh.NotFound, "people: no such invitation")
	}
	return f.invites[0], store.Organization{ID: "o9", Name: "harbour"}, nil
}

func (f *fake) AcceptInvitation(_ context.Context, _ people.Caller, token string) (people.Org, error) {
	return people.Org{Organization: store.Organization{ID: "o9", Name: "harbour"}, Role: mesh.RoleMember}, f.note("AcceptInvitation", token)
}

func (f *fake) Audit(_ context.Context, _ people.Caller, org, before string, limit int) ([]store.AuditEntry, error) {
	return f.changes[:min(limit, len(f.changes))], f.note("Audit", org, before)
}

func (f *fake) OwnAudit(_ context.Context, _ people.Caller, before string, limit int) ([]store.AuditEntry, error) {
	return f.changes[:min(limit, len(f.changes))], f.note("OwnAudit", before)
}

func (f *fake) Nodes(context.Context, people.Caller, string) ([]control.NodeInfo, error) {
	return f.nodes, f.fail["Nodes"]
}

func (f *fake) Node(_ context.Context, _ people.Caller, _, node string) (control.NodeInfo, error) {
	for _, n := range f.nodes {
		if string(n.ID) == node {
			return n, nil
		}
	}
	return control.NodeInfo{}, mesh.Errorf(mesh.NotFound, "store: no node %s", node)
}

func (f *fake) RemoveNode(ctx context.Context, c people.Caller, org, node string) (control.NodeInfo, error) {
	if err := f.note("RemoveNode", org, node); err != nil {
		return control.NodeInfo{}, err
	}
	return f.Node(ctx, c, org, node)
}

func (f *fake) Prefixes(context.Context, people.Caller, string) ([]mesh.Holding, error) {
	return f.held, f.fail["Prefixes"]
}

func (f *fake) ReleasePrefix(_ context.Context, _ people.Caller, org string, p netip.Prefix) (mesh.Holding, error) {
	return mesh.Holding{Prefix: p, HolderName: "router-berlin"}, f.note("ReleasePrefix", org, p)
}

func (f *fake) Keys(context.Context, people.Caller, string) ([]store.RegistrationKey, error) {
	return f.keyList, f.fail["Keys"]
}

func (f *fake) CreateKey(_ context.Context, _ people.Caller, org string, p store.KeyParams) (store.RegistrationKey, string, error) {
	return store.RegistrationKey{}, "nxk_secretsecret", f.note("CreateKey", org, p.Description, p.Uses, p.Lifetime)
}

func (f *fake) RevokeKey(_ context.Context, _ people.Caller, org, key string) (store.RegistrationKey, error) {
	return store.RegistrationKey{Prefix: "nxk_abcdef"}, f.note("RevokeKey", org, key)
}

func (f *fake) Tokens(context.Context, people.Caller) ([]store.APIToken, error) {
	return f.tokens, f.fail["Tokens"]
}

func (f *fake) CreateToken(_ context.Context, _ people.Caller, description string, scopes []people.Scope, life time.Duration) (store.APIToken, string, error) {
	return store.APIToken{}, "nxt_secretsecret", f.note("CreateToken", description, scopes, life)
}

func (f *fake) RevokeToken(_ context.Context, _ people.Caller, id string) (store.APIToken, error) {
	return store.APIToken{Prefix: "nxt_abcdef"}, f.note("RevokeToken", id)
}

// newWeb makes the pages over a backend, for https://mesh.example.org.
func newWeb(t *testing.T, b Backend, change ...func(*Config)) *Web {
	t.Helper()
	cfg := Config{People: b, PublicURL: "https://mesh.example.org", JoinURL: "https://mesh.example.org/#pin=abc", Now: func() time.Time { return t0 }}
	for _, f := range change {
		f(&cfg)
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
