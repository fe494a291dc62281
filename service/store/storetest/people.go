package storetest

import (
	"context"
	"net/netip"
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
	if err != nil || len(ms) != 1 || ms[0].Role != store.RoleOwner || ms[0].Organization.Name != "default" || us[0].DefaultOrg != ms[0].Organization.ID {
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
	inv, secret, err := w.CreateInvitation(ctx, w.org.ID, store.RoleAdmin, "", time.Hour)
	wantOK(t, "CreateInvitation", err)
	got, o, err := w.Invitation(ctx, secret)
	if err != nil || got.ID != inv.ID || o.ID != w.org.ID || got.State(got.Created) != "open" {
		t.Errorf("Invitation = %+v, %+v, %v", got, o, err)
	}
	bob := w.add(store.NewPerson{Email: "bob@x.example", Invitation: secret, Own: "bob"})
	ms, err := w.Memberships(ctx, bob.ID)
	if err != nil || len(ms) != 1 || ms[0].Role != store.RoleAdmin || bob.DefaultOrg != w.org.ID {
		t.Errorf("bob is in %+v, default %s, %v", ms, bob.DefaultOrg, err)
	}
	_, err = w.AddPerson(ctx, store.NewPerson{Email: "eve@x.example", Invitation: secret})
	wantKind(t, "a used invitation", err, mesh.NotFound)
	if _, err := w.UserByEmail(ctx, "eve@x.example"); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("the refused person is there: %v", err)
	}
	for what, make := range map[string]func() string{
		"expired": func() string {
			_, s, err := w.CreateInvitation(ctx, w.org.ID, store.RoleMember, "", time.Hour)
			wantOK(t, "CreateInvitation", err)
			pass(time.Hour)
			return s
		},
		"revoked": func() string {
			i, s, err := w.CreateInvitation(ctx, w.org.ID, store.RoleMember, "", time.Hour)
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
	_, secret, err = w.CreateInvitation(ctx, w.org.ID, store.RoleMember, "Carol@x.example", time.Hour)
	wantOK(t, "CreateInvitation", err)
	_, err = w.AddPerson(ctx, store.NewPerson{Email: "mallory@x.example", Invitation: secret})
	wantKind(t, "another's invitation", err, mesh.Denied)
	_, err = w.AcceptInvitation(ctx, secret, bob.ID)
	wantKind(t, "a member's second invitation", err, mesh.Conflict)
	w.add(store.NewPerson{Email: "carol@X.example", Invitation: secret}) // open after those who could not use it
	for _, role := range []store.Role{"", "god"} {
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
	_, secret, err := w.CreateInvitation(t.Context(), w.org.ID, store.RoleMember, "", time.Hour)
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
	wantKind(t, "the last owner's new role", w.SetMembership(ctx, w.org.ID, ada, store.RoleMember), mesh.Conflict)
	_, err = w.RemoveMember(ctx, w.org.ID, ada, anybody)
	wantKind(t, "removing the last owner", err, mesh.Conflict)
	bob := w.add(store.NewPerson{Email: "bob@x.example"})
	_, err = w.RemoveMember(ctx, w.org.ID, bob.ID, anybody)
	wantKind(t, "removing who is no member", err, mesh.NotFound)
	wantOK(t, "SetMembership", w.SetMembership(ctx, w.org.ID, bob.ID, store.RoleOwner))
	// Two owners that take each other's place at once: one stays.
	together(2, func(i int) {
		_, _ = w.RemoveMember(context.Background(), w.org.ID, []string{ada, bob.ID}[i], anybody)
	})
	if ms, err := w.Members(ctx, w.org.ID); err != nil || len(ms) != 1 || ms[0].Role != store.RoleOwner {
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
		if err != nil || len(ms) != 1 || ms[0].Organization.Name != want || ms[0].Role != store.RoleOwner {
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

func webSessions(t *testing.T, open Open) {
	w, pass := clocked(t, open)
	ctx := t.Context()
	bob := w.add(store.NewPerson{Email: "bob@x.example"})
	cookie, ws, err := w.CreateWebSession(ctx, bob.ID, time.Hour)
	wantOK(t, "CreateWebSession", err)
	if got, err := w.WebSession(ctx, cookie); err != nil || got.ID != ws.ID || got.User.Email != bob.Email {
		t.Errorf("WebSession = %+v, %v", got, err)
	}
	other, _, err := w.CreateWebSession(ctx, bob.ID, 2*time.Hour)
	wantOK(t, "CreateWebSession", err)
	third, _, err := w.CreateWebSession(ctx, bob.ID, 2*time.Hour)
	wantOK(t, "CreateWebSession", err)
	wantOK(t, "DeleteWebSession", w.DeleteWebSession(ctx, third))
	pass(time.Hour)
	gone := func(what, cookie string) {
		t.Helper()
		_, err := w.WebSession(ctx, cookie)
		wantKind(t, what, err, mesh.Denied)
	}
	gone("an expired session", cookie)
	gone("an ended session", third)
	gone("no session", "")
	wantOK(t, "SetPasswordHash", w.SetPasswordHash(ctx, bob.ID, "h"))
	gone("a session from before the new password", other)
	_, _, err = w.CreateWebSession(ctx, "nobody", time.Hour)
	wantKind(t, "a session of nobody", err, mesh.NotFound)
	_, _, err = w.CreateWebSession(ctx, bob.ID, 0)
	wantKind(t, "a session of no time", err, mesh.Invalid)
}

func apiTokens(t *testing.T, open Open) {
	w, pass := clocked(t, open)
	ctx := t.Context()
	bob := w.add(store.NewPerson{Email: "bob@x.example"})
	eve := w.add(store.NewPerson{Email: "eve@x.example"})
	tok, text, err := w.CreateAPIToken(ctx, bob.ID, "ci", "read", time.Hour)
	wantOK(t, "CreateAPIToken", err)
	got, u, err := w.APIToken(ctx, text)
	if err != nil || got.ID != tok.ID || u.ID != bob.ID || got.Scopes != "read" {
		t.Errorf("APIToken = %+v, %+v, %v", got, u, err)
	}
	_, err = w.RevokeAPIToken(ctx, eve.ID, tok.ID)
	wantKind(t, "another's token", err, mesh.NotFound)
	ts, err := w.APITokens(ctx, bob.ID)
	if err != nil || len(ts) != 1 || ts[0].LastUsed.IsZero() || strings.Contains(text, ts[0].Description+"x") {
		t.Errorf("APITokens = %+v, %v", ts, err)
	}
	_, err = w.RevokeAPIToken(ctx, bob.ID, tok.ID)
	wantOK(t, "RevokeAPIToken", err)
	_, _, err = w.APIToken(ctx, text)
	wantKind(t, "a revoked token", err, mesh.Denied)
	_, text, err = w.CreateAPIToken(ctx, bob.ID, "", "write", time.Hour)
	wantOK(t, "CreateAPIToken", err)
	pass(time.Hour)
	for what, bad := range map[string]string{"expired": text, "none": "", "unknown": "nxt_x", "a prefix": text[:20]} {
		_, _, err = w.APIToken(ctx, bad)
		wantKind(t, "a token that is "+what, err, mesh.Denied)
	}
}

func budgets(t *testing.T, open Open) {
	w, pass := clocked(t, open)
	var had atomic.Int32
	together(crowd, func(int) {
		wait, err := w.Take(context.Background(), "x", time.Minute, 7)
		if err != nil {
			t.Errorf("Take: %v", err)
		}
		if wait == 0 {
			had.Add(1)
		} else if wait > time.Minute {
			t.Errorf("wait %v", wait)
		}
	})
	if had.Load() != 7 {
		t.Errorf("%d had one of 7", had.Load())
	}
	if wait, err := w.Take(t.Context(), "y", time.Minute, 1); wait != 0 || err != nil {
		t.Errorf("another budget: %v, %v", wait, err)
	}
	pass(time.Minute)
	for i, want := range []bool{true, false} {
		if wait, err := w.Take(t.Context(), "x", time.Minute, 7); (wait == 0) != want || err != nil {
			t.Errorf("take %d a minute later: %v, %v", i, wait, err)
		}
	}
	wantOK(t, "Refill", w.Refill(t.Context(), "x"))
	if wait, err := w.Take(t.Context(), "x", time.Minute, 7); wait != 0 || err != nil {
		t.Errorf("after Refill: %v, %v", wait, err)
	}
	pass(time.Hour)
	if n, err := w.Purge(t.Context()); n != 2 || err != nil {
		t.Errorf("Purge = %d, %v", n, err)
	}
}

// wait starts a device login.
func (w *world) wait(key mesh.Key, userCode string, prefixes ...string) string {
	w.t.Helper()
	code, err := w.StartDeviceLogin(w.t.Context(), store.DeviceLogin{
		Key: key, Hostname: "laptop\x00\x1b[2J", OS: "linux", Addr: netip.MustParseAddr("192.0.2.7"), Prefixes: parse(prefixes...),
	}, userCode, time.Minute)
	wantOK(w.t, "StartDeviceLogin", err)
	return code
}

func deviceLogins(t *testing.T, open Open) {
	w, pass := clocked(t, open)
	ctx := t.Context()
	key := newKey(t)
	old := w.wait(key, "BBBB-BBBB")
	code := w.wait(key, "CCCC-CCCC", "172.24.0.0/24") // the newer one counts
	_, _, err := w.PollDevice(ctx, old, key)
	wantKind(t, "the older login", err, mesh.NotFound)
	_, err = w.PendingDevice(ctx, "BBBB-BBBB")
	wantKind(t, "the older code", err, mesh.NotFound)
	_, err = w.StartDeviceLogin(ctx, store.DeviceLogin{Key: newKey(t)}, "CCCC-CCCC", time.Minute)
	wantKind(t, "a user code in use", err, mesh.Conflict)
	d, err := w.PendingDevice(ctx, "CCCC-CCCC")
	if err != nil || d.Key != key || d.Hostname != "laptop[2J" || d.Addr.String() != "192.0.2.7" || len(d.Prefixes) != 1 || d.State != store.DevicePending || d.Org != "" {
		t.Errorf("PendingDevice = %+v, %v", d, err)
	}
	_, _, err = w.PollDevice(ctx, code, newKey(t))
	wantKind(t, "another node's poll", err, mesh.NotFound)
	d, before, err := w.PollDevice(ctx, code, key)
	if err != nil || d.State != store.DevicePending || !before.IsZero() {
		t.Errorf("PollDevice = %+v, %v, %v", d, before, err)
	}
	d, err = w.DecideDevice(ctx, w.org.ID, "CCCC-CCCC", false, time.Minute)
	if err != nil || d.State != store.DeviceDenied {
		t.Errorf("DecideDevice = %+v, %v", d, err)
	}
	_, err = w.DecideDevice(ctx, w.org.ID, "CCCC-CCCC", true, time.Minute)
	wantKind(t, "a second answer", err, mesh.Conflict)
	if d, _, err = w.PollDevice(ctx, code, key); err != nil || d.State != store.DeviceDenied {
		t.Errorf("PollDevice after the answer = %+v, %v", d, err)
	}
	_, err = w.Register(ctx, store.Registration{Key: key, Approval: code})
	wantKind(t, "a denied node", err, mesh.Denied)
	key = newKey(t)
	code = w.wait(key, "DDDD-DDDD")
	pass(time.Minute)
	_, _, err = w.PollDevice(ctx, code, key)
	wantKind(t, "an expired login", err, mesh.NotFound)
	_, err = w.DecideDevice(ctx, w.org.ID, "DDDD-DDDD", true, time.Minute)
	wantKind(t, "an expired code", err, mesh.NotFound)
}

func approvals(t *testing.T, open Open) {
	w, pass := clocked(t, open)
	ctx := t.Context()
	other := w.second("acme")
	codes := 0
	approve := func(org mesh.OrgID, key mesh.Key, prefixes ...string) string {
		t.Helper()
		codes++
		user := strings.Repeat("B", codes)
		code := w.wait(key, user, prefixes...)
		_, err := w.DecideDevice(ctx, org, user, true, time.Minute)
		wantOK(t, "DecideDevice", err)
		return code
	}
	reg := func(key mesh.Key, code string, prefixes ...string) (store.Registered, error) {
		return w.Register(ctx, store.Registration{Key: key, Approval: code, Hostname: "n", Prefixes: parse(prefixes...)})
	}
	key := newKey(t)
	code := approve(other.org.ID, key, "172.24.0.0/24", "172.25.0.0/24")
	_, err := reg(newKey(t), code)
	wantKind(t, "another node's approval", err, mesh.Denied)
	_, err = reg(key, code, "172.24.0.0/24", "10.0.0.0/8")
	wantKind(t, "a prefix that was not shown", err, mesh.Denied)
	_, err = reg(key, code+"x")
	wantKind(t, "another code", err, mesh.Denied)
	r, err := reg(key, code, "172.24.0.0/24")
	if err != nil || !r.New || r.Organization.ID != other.org.ID {
		t.Fatalf("Register = %+v, %v", r, err)
	}
	if again, err := reg(key, code); err != nil || again.New || again.Node.ID != r.Node.ID {
		t.Errorf("a known node = %+v, %v", again, err)
	}
	_, err = w.RemoveDevice(ctx, other.org.ID, string(r.Node.ID))
	wantOK(t, "RemoveDevice", err)
	_, err = reg(key, code)
	wantKind(t, "the approval of a removed node", err, mesh.Denied)

	code = approve(w.org.ID, key, "172.24.0.0/24")
	w.join("holder", "172.24.0.0/24")
	_, err = reg(key, code, "172.24.0.0/24")
	wantKind(t, "a held prefix", err, mesh.Conflict)
	if _, err := reg(key, code); err != nil { // the refusal did not use it up
		t.Errorf("Register after a refusal: %v", err)
	}
	late := newKey(t)
	code = approve(w.org.ID, late)
	pass(time.Minute)
	_, err = reg(late, code)
	wantKind(t, "an expired approval", err, mesh.Denied)
}

func oneApprovalWinner(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	key := newKey(t)
	code := w.wait(key, "FFFF-FFFF")
	_, err := w.DecideDevice(t.Context(), w.org.ID, "FFFF-FFFF", true, time.Minute)
	wantOK(t, "DecideDevice", err)
	keys := make([]mesh.Key, crowd)
	for i := range keys {
		if keys[i] = key; i%2 == 1 {
			keys[i] = newKey(t)
		}
	}
	var fresh atomic.Int32
	together(crowd, func(i int) {
		r, err := w.Register(context.Background(), store.Registration{Key: keys[i], Approval: code, Hostname: "n"})
		switch {
		case err == nil && r.New:
			fresh.Add(1)
		case err == nil && i%2 == 0, mesh.KindOf(err) == mesh.Denied:
		default:
			t.Errorf("Register %d: %+v, %v", i, r, err)
		}
	})
	if n := len(w.snapshot().Nodes); fresh.Load() != 1 || n != 1 {
		t.Errorf("one approval made %d nodes; %d are there", fresh.Load(), n)
	}
}

func oneDecision(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	other := w.second("acme")
	w.wait(newKey(t), "GGGG-GGGG")
	var won atomic.Int32
	together(crowd, func(i int) {
		org := []mesh.OrgID{w.org.ID, other.org.ID}[i%2]
		_, err := w.DecideDevice(context.Background(), org, "GGGG-GGGG", i%3 == 0, time.Minute)
		if err == nil {
			won.Add(1)
		} else if mesh.KindOf(err) != mesh.Conflict {
			t.Errorf("DecideDevice: %v", err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d answers counted", won.Load())
	}
}

func audits(t *testing.T, open Open) {
	w, pass := clocked(t, open)
	from := netip.MustParseAddr("192.0.2.9")
	ctx := store.WithActor(t.Context(), store.Actor{UserID: "u", Name: "ada@example.com", Via: "token", Token: "t", From: from})
	node := store.WithActor(t.Context(), store.Actor{Via: "node", From: from})
	second := func() { pass(time.Second) }

	second()
	k, secret, err := w.CreateKey(ctx, w.org.ID, store.KeyParams{Description: "ci"})
	wantOK(t, "CreateKey", err)
	second()
	key := newKey(t)
	r, err := w.Register(node, store.Registration{Key: key, RegistrationKey: secret, Hostname: "lap", Prefixes: parse("10.1.0.0/16")})
	wantOK(t, "Register", err)
	second()
	_, err = w.Register(node, store.Registration{Key: key, Hostname: "lap", Prefixes: parse("10.1.0.0/16")}) // changes nothing
	wantOK(t, "Register again", err)
	second()
	wantOK(t, "SetAdvertised", w.SetAdvertised(node, w.org.ID, r.Node.ID, nil))
	second()
	_, err = w.ReleasePrefix(ctx, w.org.ID, parse("10.1.0.0/16")[0], "")
	wantOK(t, "ReleasePrefix", err)
	second()
	_, err = w.RevokeKey(ctx, w.org.ID, k.ID)
	wantOK(t, "RevokeKey", err)
	second()
	_, err = w.RevokeKey(ctx, w.org.ID, k.ID) // changes nothing
	wantOK(t, "RevokeKey", err)
	second()
	_, err = w.RemoveDevice(ctx, w.org.ID, string(r.Node.ID))
	wantOK(t, "RemoveDevice", err)

	es, err := w.Audit(t.Context(), w.org.ID, "", 100)
	wantOK(t, "Audit", err)
	var got []string
	for _, e := range es {
		got = append(got, e.Actor.Name+" "+e.Action)
		if strings.Contains(e.Before+e.After+e.Target, secret) {
			t.Errorf("an audit row shows a secret: %+v", e)
		}
	}
	want := []string{"ada@example.com node.remove", "ada@example.com key.revoke", "ada@example.com prefix.release", "node lap prefix.advertise",
		"node lap prefix.advertise", "node lap node.register", "ada@example.com key.create", "service key.create", "service org.create"}
	// What happened in one instant is in no order.
	sorted := func(s []string) string {
		s = append([]string(nil), s...)
		for _, pair := range [][2]int{{3, 3}, {4, 5}, {7, 8}} {
			if i, j := pair[0], pair[1]; j < len(s) && s[i] < s[j] {
				s[i], s[j] = s[j], s[i]
			}
		}
		return strings.Join(s, "\n")
	}
	if sorted(got) != sorted(want) {
		t.Errorf("audit\n%s\nwant\n%s", sorted(got), sorted(want))
	}
	first := es[0]
	if first.Actor.From != from || first.Actor.Token != "t" || first.Actor.Via != "token" || first.Target != "lap" || !strings.Contains(first.Before, key.String()) || first.Org != w.org.ID {
		t.Errorf("the entry is %+v", first)
	}
	page, err := w.Audit(t.Context(), w.org.ID, es[2].ID, 2)
	if err != nil || len(page) != 2 || page[0].ID != es[3].ID {
		t.Errorf("the page behind %s is %+v, %v", es[2].ID, page, err)
	}
	if es, err := w.Audit(t.Context(), w.second("acme").org.ID, "", 10); err != nil || len(es) != 2 {
		t.Errorf("another organization's audit is %+v, %v", es, err)
	}
}
