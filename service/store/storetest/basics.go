package storetest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

var basics = map[string]func(*testing.T, Open){
	"an empty database says how to fill it":     emptyDatabase,
	"bootstrap makes everything, once":          bootstrapOnce,
	"organizations have names and pools":        organizations,
	"users and memberships":                     users,
	"registration keys are shown once":          keys,
	"sessions end":                              sessions,
	"a new epoch replaces the map":              renewEpoch,
	"nothing of another organization is seen":   strangers,
	"a missing organization is not found":       missingOrganization,
	"an update that does nothing raises no rev": idleUpdate,
}

func emptyDatabase(t *testing.T, open Open) {
	s := open(t, store.Options{})
	_, err := s.Meta(t.Context())
	wantKind(t, "Meta", err, mesh.NotFound)
	if !strings.Contains(err.Error(), "nexservice bootstrap --db=") {
		t.Errorf("Meta error %q has no way out", err)
	}
	_, err = s.RenewEpoch(t.Context())
	wantKind(t, "RenewEpoch", err, mesh.NotFound)
}

func bootstrapOnce(t *testing.T, open Open) {
	s := open(t, store.Options{})
	p := store.BootstrapParams{
		Email: " Ada@Example.com ", PasswordHash: "h", TLSCert: []byte("cert"), TLSKey: []byte("key"),
		PublicURL: "https://x:8443/", Key: &store.KeyParams{Description: "first", Uses: 1, Lifetime: time.Hour},
	}
	b, err := s.Bootstrap(t.Context(), p)
	wantOK(t, "Bootstrap", err)
	if b.User.Email != "ada@example.com" || b.Organization.Name != "default" || len(b.Meta.Secret) != 32 || !strings.HasPrefix(b.KeySecret, store.KeyPrefix) {
		t.Errorf("Bootstrap = %+v", b)
	}
	m, err := s.Meta(t.Context())
	wantOK(t, "Meta", err)
	if m.Epoch != b.Meta.Epoch || !bytes.Equal(m.Secret, b.Meta.Secret) || string(m.TLSCert) != "cert" || string(m.TLSKey) != "key" || m.PublicURL != p.PublicURL || m.Created.IsZero() {
		t.Errorf("Meta = %+v, want %+v", m, b.Meta)
	}
	ms, err := s.Memberships(t.Context(), b.User.ID)
	wantOK(t, "Memberships", err)
	if len(ms) != 1 || ms[0].Organization.ID != b.Organization.ID || ms[0].Role != mesh.RoleOwner {
		t.Errorf("Memberships = %+v", ms)
	}
	_, err = s.Bootstrap(t.Context(), p)
	wantKind(t, "second Bootstrap", err, mesh.Conflict)
	if !strings.Contains(err.Error(), "not empty") {
		t.Errorf("second Bootstrap error = %q", err)
	}
	if again, err := s.Meta(t.Context()); err != nil || again.Epoch != m.Epoch {
		t.Errorf("the second bootstrap changed the epoch to %v, %v", again.Epoch, err)
	}
}

func organizations(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	o, err := w.CreateOrganization(t.Context(), "acme", "")
	wantOK(t, "CreateOrganization", err)
	if o.Pool4 != w.org.Pool4 || o.Pool6 == w.org.Pool6 || o.Pool6.Bits() != 48 {
		t.Errorf("pools %v and %v", o.Pools(), w.org.Pools())
	}
	for _, tt := range []struct {
		name string
		want mesh.Kind
	}{{"acme", mesh.Conflict}, {"", mesh.Invalid}, {"Acme", mesh.Invalid}, {"a b", mesh.Invalid}, {strings.Repeat("x", 64), mesh.Invalid}} {
		_, err := w.CreateOrganization(t.Context(), tt.name, "")
		wantKind(t, "CreateOrganization "+tt.name, err, tt.want)
	}
	if got, err := w.OrganizationByName(t.Context(), "acme"); err != nil || got.ID != o.ID {
		t.Errorf("OrganizationByName = %v, %v", got, err)
	}
	if got, err := w.Organization(t.Context(), o.ID); err != nil || got.Name != "acme" {
		t.Errorf("Organization = %v, %v", got, err)
	}
	os, err := w.Organizations(t.Context())
	if err != nil || len(os) != 2 || os[0].Name != "acme" || os[1].Name != "default" {
		t.Errorf("Organizations = %v, %v", os, err)
	}
	if revs, err := w.Revs(t.Context()); err != nil || len(revs) != 2 || revs[o.ID].Map != 1 {
		t.Errorf("Revs = %v, %v", revs, err)
	}
}

func users(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	bob := w.add(store.NewPerson{Email: "bob@example.com", PasswordHash: "one"})
	_, err := w.AddPerson(t.Context(), store.NewPerson{Email: "BOB@example.com", PasswordHash: "two"})
	wantKind(t, "AddPerson again", err, mesh.Conflict)
	for _, email := range []string{"", "bob", "@x", "a@", "a@b@c", "a b@c", "a\n@c", strings.Repeat("a", 250) + "@example.com"} {
		_, err := w.AddPerson(t.Context(), store.NewPerson{Email: email})
		wantKind(t, "AddPerson "+email, err, mesh.Invalid)
	}
	wantOK(t, "SetPasswordHash", w.SetPasswordHash(t.Context(), bob.ID, "two"))
	if got, err := w.UserByEmail(t.Context(), "Bob@Example.com"); err != nil || got.PasswordHash != "two" {
		t.Errorf("UserByEmail = %v, %v", got, err)
	}
	_, err = w.UserByEmail(t.Context(), "eve@example.com")
	wantKind(t, "UserByEmail of a stranger", err, mesh.NotFound)
	wantKind(t, "SetPasswordHash of nobody", w.SetPasswordHash(t.Context(), "x", "y"), mesh.NotFound)
	wantOK(t, "SetMembership", w.SetMembership(t.Context(), w.org.ID, bob.ID, mesh.RoleMember))
	wantOK(t, "SetMembership", w.SetMembership(t.Context(), w.org.ID, bob.ID, mesh.RoleOwner))
	ms, err := w.Memberships(t.Context(), bob.ID)
	if err != nil || len(ms) != 1 || ms[0].Role != mesh.RoleOwner || ms[0].Organization.Pool6 != w.org.Pool6 {
		t.Errorf("Memberships = %v, %v", ms, err)
	}
	wantKind(t, "a role that is none", w.SetMembership(t.Context(), w.org.ID, bob.ID, "god"), mesh.Invalid)
	wantKind(t, "a user who is none", w.SetMembership(t.Context(), w.org.ID, "x", mesh.RoleOwner), mesh.NotFound)
}

func keys(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	k, secret, err := w.CreateKey(t.Context(), w.org.ID, store.KeyParams{Description: "ci", Uses: 3, Lifetime: time.Hour})
	wantOK(t, "CreateKey", err)
	if !strings.HasPrefix(secret, k.Prefix) || len(secret) < len(store.KeyPrefix)+32 || k.Reusable || k.UsesLeft != 3 {
		t.Errorf("CreateKey = %+v, secret of %d characters", k, len(secret))
	}
	for _, p := range []store.KeyParams{{Uses: -1}, {Lifetime: -1}, {Description: strings.Repeat("x", 300)}} {
		_, _, err := w.CreateKey(t.Context(), w.org.ID, p)
		wantKind(t, "a bad key", err, mesh.Invalid)
	}
	ks, err := w.Keys(t.Context(), w.org.ID)
	if err != nil || len(ks) != 2 {
		t.Fatalf("Keys = %v, %v", ks, err)
	}
	register := func(secret string) (store.Registered, error) {
		return w.Register(t.Context(), store.Registration{Key: newKey(t), RegistrationKey: secret, Hostname: "n"})
	}
	if r, err := register(secret); err != nil || r.Organization.ID != w.org.ID {
		t.Errorf("Register = %v, %v", r, err)
	}
	_, err = register(k.Prefix)
	wantKind(t, "Register with a key's prefix", err, mesh.Denied)

	got, err := w.RevokeKey(t.Context(), w.org.ID, k.Prefix)
	if err != nil || got.ID != k.ID || got.Revoked.IsZero() {
		t.Errorf("RevokeKey = %+v, %v", got, err)
	}
	if again, err := w.RevokeKey(t.Context(), w.org.ID, k.ID); err != nil || !again.Revoked.Equal(got.Revoked.Truncate(time.Microsecond)) {
		t.Errorf("RevokeKey again = %+v, %v", again, err)
	}
	_, err = w.RevokeKey(t.Context(), w.org.ID, secret)
	wantKind(t, "RevokeKey by secret", err, mesh.NotFound)
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error shows the secret: %v", err)
	}
}

func sessions(t *testing.T, open Open) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := bootstrapped(t, open, store.Options{Now: func() time.Time { return now }})
	ada := w.join("ada")
	token, s, err := w.CreateSession(t.Context(), w.org.ID, ada.ID, time.Hour)
	wantOK(t, "CreateSession", err)
	if got, err := w.Session(t.Context(), token); err != nil || got != s || got.Node != ada.ID || got.Org != w.org.ID {
		t.Errorf("Session = %+v, %v; want %+v", got, err, s)
	}
	for _, bad := range []string{"", "x", token + "x", strings.ToUpper(token)} {
		_, err := w.Session(t.Context(), bad)
		wantKind(t, "Session "+bad, err, mesh.Denied)
	}
	bob := w.join("bob")
	other, _, err := w.CreateSession(t.Context(), w.org.ID, bob.ID, time.Hour)
	wantOK(t, "CreateSession", err)
	_, err = w.RemoveNode(t.Context(), w.org.ID, string(bob.ID))
	wantOK(t, "RemoveNode", err)
	_, err = w.Session(t.Context(), other)
	wantKind(t, "a removed node's session", err, mesh.Denied)

	now = now.Add(time.Hour)
	_, err = w.Session(t.Context(), token)
	wantKind(t, "an expired session", err, mesh.Denied)
	if n, err := w.Purge(t.Context()); err != nil || n != 1 {
		t.Errorf("Purge = %d, %v", n, err)
	}
	_, _, err = w.CreateSession(t.Context(), w.org.ID, "nobody", time.Hour)
	wantKind(t, "a session for nobody", err, mesh.NotFound)
	_, _, err = w.CreateSession(t.Context(), w.org.ID, ada.ID, 0)
	wantKind(t, "a session of no time", err, mesh.Invalid)
}

func renewEpoch(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	before := w.snapshot().Version
	epoch, err := w.RenewEpoch(t.Context())
	wantOK(t, "RenewEpoch", err)
	after := w.snapshot().Version
	if after.Epoch != epoch || !after.Replaces(before) || after.Rev <= before.Rev {
		t.Errorf("version %v became %v, epoch %s", before, after, epoch)
	}
}

func strangers(t *testing.T, open Open) {
	a := bootstrapped(t, open, store.Options{})
	b := a.second("acme")
	ada := a.join("ada", "172.24.0.0/24")
	bob := b.join("ada", "172.24.0.0/24") // same name, same prefix: another world
	if ada.Name != bob.Name || ada.Addresses[0] != bob.Addresses[0] || ada.Addresses[1] == bob.Addresses[1] {
		t.Errorf("ada %v and bob %v", ada, bob)
	}
	before := a.revs()
	ctx := t.Context()
	_, err := a.Node(ctx, b.org.ID, string(ada.ID))
	wantKind(t, "Node", err, mesh.NotFound)
	_, err = a.RemoveNode(ctx, b.org.ID, string(ada.ID))
	wantKind(t, "RemoveNode", err, mesh.NotFound)
	wantKind(t, "SetAdvertised", a.SetAdvertised(ctx, b.org.ID, ada.ID, nil), mesh.NotFound)
	wantKind(t, "SetEndpoints", a.SetEndpoints(ctx, b.org.ID, ada.ID, nil, mesh.NATUnknown), mesh.NotFound)
	_, _, err = a.CreateSession(ctx, b.org.ID, ada.ID, time.Hour)
	wantKind(t, "CreateSession", err, mesh.NotFound)
	_, err = a.ReleasePrefix(ctx, b.org.ID, ada.Prefixes[0], ada.ID)
	wantKind(t, "ReleasePrefix", err, mesh.Denied)
	ks, err := a.Keys(ctx, a.org.ID)
	wantOK(t, "Keys", err)
	_, err = a.RevokeKey(ctx, b.org.ID, ks[0].ID)
	wantKind(t, "RevokeKey", err, mesh.NotFound)
	if nodes := b.snapshot().Nodes; len(nodes) != 1 || nodes[0].ID != bob.ID {
		t.Errorf("a snapshot has a stranger: %v", nodes)
	}
	if got := a.revs(); got != before {
		t.Errorf("the other organization's calls moved %v to %v", before, got)
	}
}

func missingOrganization(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	_, err := w.Snapshot(t.Context(), "nobody")
	wantKind(t, "Snapshot", err, mesh.NotFound)
	_, err = w.Organization(t.Context(), "nobody")
	wantKind(t, "Organization", err, mesh.NotFound)
	_, err = w.OrganizationByName(t.Context(), "nobody")
	wantKind(t, "OrganizationByName", err, mesh.NotFound)
	_, _, err = w.CreateKey(t.Context(), "nobody", store.KeyParams{})
	wantKind(t, "CreateKey", err, mesh.NotFound)
}

func idleUpdate(t *testing.T, open Open) {
	var commits []mesh.OrgID
	w := bootstrapped(t, open, store.Options{OnCommit: func(o mesh.OrgID) { commits = append(commits, o) }})
	before := w.revs()
	wantOK(t, "Update", w.Update(t.Context(), w.org.ID, func(*store.Tx) error { return nil }))
	err := w.Update(t.Context(), w.org.ID, func(*store.Tx) error { return mesh.Errorf(mesh.Denied, "no") })
	wantKind(t, "an update that fails", err, mesh.Denied)
	if after := w.revs(); after != before || len(commits) != 0 {
		t.Errorf("revs %v became %v; %d commits were told", before, after, len(commits))
	}
	w.join("ada")
	if len(commits) != 1 || commits[0] != w.org.ID {
		t.Errorf("told commits: %v", commits)
	}
}
