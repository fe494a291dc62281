package storetest

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

var people = map[string]func(*testing.T, Open){
	"a set-up link makes the first person, once":       setup,
	"an invitation makes one member":                   invitations,
	"of many with one invitation one gets in":          oneInvitationWinner,
	"the last owner stays":                             lastOwner,
	"a first organization for who has none":            firstOrganization,
	"identities are issuer and subject":                identities,
	"web sessions end":                                 webSessions,
	"API tokens end":                                   apiTokens,
	"a budget is shared and comes back":                budgets,
	"a device login is answered once":                  deviceLogins,
	"an approval lets one node in, of the key shown":   approvals,
	"of many with one approval one is new":             oneApprovalWinner,
	"of many that answer one does":                     oneDecision,
	"no name shows as another":                         plainNames,
	"every change leaves an audit row":                 audits,
	"an empty database can be prepared without people": prepare,
}

func clocked(t *testing.T, open Open) (*world, func(time.Duration)) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return bootstrapped(t, open, store.Options{Now: func() time.Time { return now }}), func(d time.Duration) { now = now.Add(d) }
}

func (w *world) add(p store.NewPerson) store.User {
	w.t.Helper()
	u, err := w.AddPerson(w.t.Context(), p)
	wantOK(w.t, "AddPerson "+p.Email, err)
	return u
}

func setup(t *testing.T, open Open) {
	s := open(t, store.Options{})
	ctx := t.Context()
	_, err := s.Prepare(ctx, store.PrepareParams{})
	wantOK(t, "Prepare", err)
	old, err := s.NewSetup(ctx)
	wantOK(t, "NewSetup", err)
	secret, err := s.NewSetup(ctx)
	wantOK(t, "NewSetup", err)
	wantOK(t, "CheckSetup", s.CheckSetup(ctx, secret))
	for _, bad := range []string{"", "x", old, secret + "x"} {
		wantKind(t, "CheckSetup", s.CheckSetup(ctx, bad), mesh.Denied)
	}
	var won atomic.Int32
	together(crowd, func(i int) {
		_, err := s.AddPerson(context.Background(), store.NewPerson{Email: string(rune('a'+i%26)) + strings.Repeat("x", i) + "@x.example", Setup: secret, Own: "default"})
		if err == nil {
			won.Add(1)
		} else if k := mesh.KindOf(err); k != mesh.Denied && k != mesh.Conflict {
			t.Errorf("AddPerson: %v", err)
		}
	})
	us, err := s.Users(ctx)
	if won.Load() != 1 || err != nil || len(us) != 1 {
		t.Errorf("%d set the service up; %d are there, %v", won.Load(), len(us), err)
	}
	ms, err := s.Memberships(ctx, us[0].ID)
	if err != nil || len(ms) != 1 || ms[0].Role != mesh.RoleOwner || ms[0].Organization.Name != "default" || us[0].DefaultOrg != ms[0].Organization.ID {
		t.Errorf("the first person %+v is in %+v, %v", us[0], ms, err)
	}
	_, err = s.NewSetup(ctx)
	wantKind(t, "NewSetup with people", err, mesh.Conflict)
	wantKind(t, "CheckSetup with people", s.CheckSetup(ctx, secret), mesh.Conflict)
}

func prepare(t *testing.T, open Open) {
	s := open(t, store.Options{})
	m, err := s.Prepare(t.Context(), store.PrepareParams{TLSCert: []byte("c"), TLSKey: []byte("k"), PublicURL: "https://x/"})
	wantOK(t, "Prepare", err)
	again, err := s.Prepare(t.Context(), store.PrepareParams{TLSCert: []byte("other")})
	if err != nil || again.Epoch != m.Epoch || string(again.TLSCert) != "c" || again.PublicURL != "https://x/" {
		t.Errorf("Prepare again = %+v, %v", again, err)
	}
	if has, err := s.HasUsers(t.Context()); has || err != nil {
		t.Errorf("HasUsers = %v, %v", has, err)
	}
	_, err = s.Bootstrap(t.Context(), store.BootstrapParams{Email: "a@x"})
	wantKind(t, "Bootstrap of a prepared database", err, mesh.Conflict)
}

func invitations(t *testing.T, open Open) {
	w, pass := clocked(t, open)
	ctx := t.Context()
	inv, secret, err := w.CreateInvitation(ctx, w.org.ID, mesh.RoleAdmin, "", time.Hour)
	wantOK(t, "CreateInvitation", err)
	got, o, err := w.Invitation(ctx, secret)
	if err != nil || got.ID != inv.ID || o.ID != w.org.ID || got.State(got.Created) != "open" {
		t.Errorf("Invitation = %+v, %+v, %v", got, o, err)
	}
	bob := w.add(store.NewPerson{Email: "bob@x.example", Invitation: secret, Own: "bob"})
	ms, err := w.Memberships(ctx, bob.ID)
	if err != nil || len(ms) != 1 || ms[0].Role != mesh.RoleAdmin || bob.DefaultOrg != w.org.ID {
		t.Errorf("bob is in %+v, default %s, %v", ms, bob.DefaultOrg, err)
	}
	_, err = w.AddPerson(ctx, store.NewPerson{Email: "eve@x.example", Invitation: secret})
	wantKind(t, "a used invitation", err, mesh.NotFound)
	if _, err := w.UserByEmail(ctx, "eve@x.example"); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("the refused person is there: %v", err)
	}
	for what, make := range map[string]func() string{
		"expired": func() string {
			_, s, err := w.CreateInvitation(ctx, w.org.ID, mesh.RoleMember, "", time.Hour)
			wantOK(t, "CreateInvitation", err)
			pass(time.Hour)
			return s
		},
		"revoked": func() string {
			i, s, err := w.CreateInvitation(ctx, w.org.ID, mesh.RoleMember, "", time.Hour)
			wantOK(t, "CreateInvitation", err)
			r, err := w.RevokeInvitation(ctx, w.org.ID, i.ID, func(store.Invitation) error { return nil })
			if err != nil || r.Revoked.IsZero() {
				t.Errorf("RevokeInvitation = %+v, %v", r, err)
			}
			return s
		},
		"unknown": func() string { return "nxi_unknown" },
	} {
		_, err := w.AcceptInvitation(ctx, make(), bob.ID)
		wantKind(t, "an invitation that is "+what, err, mesh.NotFound)
	}
	_, secret, err = w.CreateInvitation(ctx, w.org.ID, mesh.RoleMember, "Carol@x.example", time.Hour)
	wantOK(t, "CreateInvitation", err)
	_, err = w.AddPerson(ctx, store.NewPerson{Email: "mallory@x.example", Invitation: secret})
	wantKind(t, "another's invitation", err, mesh.Denied)
	_, err = w.AcceptInvitation(ctx, secret, bob.ID)
	wantKind(t, "a member's second invitation", err, mesh.Conflict)
	w.add(store.NewPerson{Email: "carol@X.example", Invitation: secret}) // open after those who could not use it
	for _, role := range []mesh.Role{"", "god"} {
		_, _, err = w.CreateInvitation(ctx, w.org.ID, role, "", time.Hour)
		wantKind(t, "a role that is none", err, mesh.Invalid)
	}
	is, err := w.Invitations(ctx, w.org.ID)
	if err != nil || len(is) != 4 {
		t.Errorf("Invitations = %+v, %v", is, err)
	}
}

func oneInvitationWinner(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	_, secret, err := w.CreateInvitation(t.Context(), w.org.ID, mesh.RoleMember, "", time.Hour)
	wantOK(t, "CreateInvitation", err)
	ids := make([]string, crowd)
	for i := range ids {
		ids[i] = w.add(store.NewPerson{Email: strings.Repeat("x", i+1) + "@x.example"}).ID
	}
	var won atomic.Int32
	together(crowd, func(i int) {
		_, err := w.AcceptInvitation(context.Background(), secret, ids[i])
		if err == nil {
			won.Add(1)
		} else if mesh.KindOf(err) != mesh.NotFound {
			t.Errorf("AcceptInvitation: %v", err)
		}
	})
	if ms, err := w.Members(t.Context(), w.org.ID); won.Load() != 1 || err != nil || len(ms) != 2 {
		t.Errorf("one invitation let %d in; members %+v, %v", won.Load(), ms, err)
	}
}

func lastOwner(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	ctx := t.Context()
	ms, err := w.Members(ctx, w.org.ID)
	wantOK(t, "Members", err)
	ada := ms[0].UserID
	anybody := func(store.Member) error { return nil }
	wantKind(t, "the last owner's new role", w.SetMembership(ctx, w.org.ID, ada, mesh.RoleMember), mesh.Conflict)
	_, err = w.RemoveMember(ctx, w.org.ID, ada, anybody)
	wantKind(t, "removing the last owner", err, mesh.Conflict)
	bob := w.add(store.NewPerson{Email: "bob@x.example"})
	_, err = w.RemoveMember(ctx, w.org.ID, bob.ID, anybody)
	wantKind(t, "removing who is no member", err, mesh.NotFound)
	wantOK(t, "SetMembership", w.SetMembership(ctx, w.org.ID, bob.ID, mesh.RoleOwner))
	// Two owners that take each other's place at once: one stays.
	together(2, func(i int) {
		_, _ = w.RemoveMember(context.Background(), w.org.ID, []string{ada, bob.ID}[i], anybody)
	})
	if ms, err := w.Members(ctx, w.org.ID); err != nil || len(ms) != 1 || ms[0].Role != mesh.RoleOwner {
		t.Errorf("Members = %+v, %v", ms, err)
	}
}

func firstOrganization(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	ctx := t.Context()
	bob := w.add(store.NewPerson{Email: "bob@x.example", Own: "bob"})
	again := w.add(store.NewPerson{Email: "bob@y.example", Own: "bob"})
	for u, want := range map[string]string{bob.ID: "bob", again.ID: "bob-2"} {
		wantOK(t, "FirstOrganization", w.FirstOrganization(ctx, u, "other"))
		ms, err := w.Memberships(ctx, u)
		if err != nil || len(ms) != 1 || ms[0].Organization.Name != want || ms[0].Role != mesh.RoleOwner {
			t.Errorf("Memberships = %+v, %v; want %s", ms, err, want)
		}
	}
	wantKind(t, "a default organization of others", w.SetDefaultOrganization(ctx, w.org.ID, bob.ID), mesh.NotFound)
}

func identities(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	ctx := t.Context()
	bob := w.add(store.NewPerson{Email: "bob@x.example", Issuer: "https://idp", Subject: "1"})
	if got, err := w.UserByIdentity(ctx, "https://idp", "1"); err != nil || got.ID != bob.ID {
		t.Errorf("UserByIdentity = %+v, %v", got, err)
	}
	for _, id := range [][2]string{{"https://idp", "2"}, {"https://other", "1"}, {"", ""}} {
		_, err := w.UserByIdentity(ctx, id[0], id[1])
		wantKind(t, "another identity", err, mesh.NotFound)
	}
	_, err := w.AddPerson(ctx, store.NewPerson{Email: "ada@example.com", Issuer: "https://idp", Subject: "3"})
	wantKind(t, "the address of an account", err, mesh.Conflict)
	_, err = w.AddPerson(ctx, store.NewPerson{Email: "new@x.example", Issuer: "https://idp", Subject: "1"})
	wantKind(t, "a known identity", err, mesh.Conflict)
}

// plainNames uses names that would deceive a reader or control a terminal.
func plainNames(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	const evil, plain = "lap\u202etop\u200b\x1b[2J\u009b1m\u2028\u2066\ufeff", "laptop[2J1m"
	code := "BCDF-GHJK"
	_, err := w.StartDeviceLogin(t.Context(), store.DeviceLogin{Key: newKey(t), Hostname: evil, OS: evil, Version: evil}, code, time.Hour)
	wantOK(t, "StartDeviceLogin", err)
	d, err := w.PendingDeviceLogin(t.Context(), code)
	if err != nil || d.Hostname != plain || d.OS != plain || d.Version != plain {
		t.Errorf("PendingDeviceLogin = %+v, %v", d, err)
	}
	if u := w.add(store.NewPerson{Email: "eve@x.example", Name: evil}); u.Name != plain {
		t.Errorf("a person is called %q", u.Name)
	}
	for _, email := range []string{"a\u202eb@x.example", "a\u200bb@x.example", "a\u00a0b@x.example", "a\tb@x.example"} {
		_, err := w.AddPerson(t.Context(), store.NewPerson{Email: email})
		wantKind(t, "an address with what is not seen", err, mesh.Invalid)
	}
}
