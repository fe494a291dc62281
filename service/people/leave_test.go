package people_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

// Who is put out, or down, does not come back by a link they made before.
func TestInvitationsEndWithTheStandingOfWhoMadeThem(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	invite := func(c people.Caller, role mesh.Role) string {
		t.Helper()
		_, link, err := w.invite(c, "default", role, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		return link[strings.LastIndex(link, "/")+1:]
	}
	open := func(token string) bool {
		t.Helper()
		_, _, err := w.Invited(ctx, token, here)
		if err != nil && mesh.KindOf(err) != mesh.NotFound {
			t.Fatal(err)
		}
		return err == nil
	}
	for _, after := range []mesh.Role{mesh.RoleOwner, mesh.RoleAdmin, mesh.RoleMember, mesh.RoleAuditor, ""} {
		email := "m" + string(after) + "@example.com"
		mallory := w.invited(email, mesh.RoleOwner)
		toOwner, toAdmin, others := invite(mallory, mesh.RoleOwner), invite(mallory, mesh.RoleAdmin), invite(w.ada, mesh.RoleAdmin)
		var err error
		if after == "" {
			_, err = w.RemoveMember(ctx, w.ada, "default", email)
		} else {
			_, err = w.SetRole(ctx, w.ada, "default", email, after)
		}
		if err != nil {
			t.Fatal(err)
		}
		owner, admin := after == mesh.RoleOwner, after == mesh.RoleOwner || after == mesh.RoleAdmin
		if open(toOwner) != owner || open(toAdmin) != admin || !open(others) {
			t.Errorf("from owner to %q: the link for an owner is open %v, want %v; for an admin %v, want %v; of another %v",
				after, open(toOwner), owner, open(toAdmin), admin, open(others))
		}
	}
	page, err := w.Audit(ctx, w.ada, "default", "", 0)
	if err != nil || !slices.ContainsFunc(page.Entries, func(e control.AuditEntry) bool {
		return e.Action == "invitation.revoke" && e.Actor == "ada@example.com" && strings.Contains(e.Before, `"inviter":"mmember@example.com"`)
	}) {
		t.Errorf("Audit = %+v, %v", page, err)
	}
}

// What happened to an account is for its person alone to see.
func TestOwnAudit(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	eve := w.outsider("eve@example.com")
	for _, c := range []people.Caller{w.ada, eve} {
		w.pass(time.Second)
		if _, _, err := w.token(c, "of "+c.Email, []string{control.ScopeRead}, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	own := func(c people.Caller, before string, limit int) (actions []string, last string) {
		t.Helper()
		page, err := w.OwnAudit(ctx, c, before, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Target != c.Email || strings.Contains(e.After, "of ") && !strings.Contains(e.After, "of "+c.Email) {
				t.Errorf("%s sees %+v", c.Email, e)
			}
			actions, last = append(actions, e.Action), e.ID
		}
		if more := limit == 1 && before == ""; more != (page.Next == last) || !more && page.Next != "" {
			t.Errorf("Next of a page of %v is %q", actions, page.Next)
		}
		return actions, last
	}
	if got, _ := own(eve, "", 0); fmt.Sprint(got) != "[token.create user.create]" {
		t.Errorf("of eve: %v", got)
	}
	got, last := own(w.ada, "", 1)
	if fmt.Sprint(got) != "[token.create]" {
		t.Errorf("the newest of ada: %v", got)
	}
	if got, _ := own(w.ada, last, 0); fmt.Sprint(got) != "[user.create]" {
		t.Errorf("older ones of ada: %v", got)
	}
	_, err := w.OwnAudit(ctx, people.Caller{}, "", 0)
	wantKind(t, "nobody", err, mesh.Denied, control.ReasonSession)
	_, err = w.OwnAudit(ctx, w.ada, "", 501)
	wantKind(t, "too long a page", err, mesh.Invalid, "")
}

// Of an account that was ended nothing is good any more, and the others go on.
func TestRemovedAccount(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	bob := w.invited("bob@example.com", mesh.RoleAdmin)
	_, token, err := w.token(bob, "", []string{control.ScopeWrite}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, link, err := w.invite(bob, "default", mesh.RoleAdmin, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Login(ctx, "bob@example.com", password, here)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.st.RemoveUser(ctx, w.ada.UserID)
	wantKind(t, "the last owner among others", err, mesh.Conflict, "")
	ms, err := w.st.RemoveUser(ctx, bob.UserID)
	if err != nil || len(ms) != 1 || ms[0].Organization.Name != "default" {
		t.Fatalf("RemoveUser = %+v, %v", ms, err)
	}
	_, err = w.Session(ctx, s.Cookie, here)
	wantKind(t, "a session", err, mesh.Denied, control.ReasonSession)
	_, err = w.Token(ctx, token, here)
	wantKind(t, "an API token", err, mesh.Denied, control.ReasonToken)
	_, err = w.Login(ctx, "bob@example.com", password, here)
	wantKind(t, "the password", err, mesh.Denied, "")
	_, _, err = w.Invited(ctx, link[strings.LastIndex(link, "/")+1:], here)
	wantKind(t, "an invitation", err, mesh.NotFound, "")
	_, err = w.Nodes(ctx, bob, "default") // a call that was under way
	if mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("a caller without an account: %v", err)
	}
	_, err = w.st.RemoveUser(ctx, bob.UserID)
	wantKind(t, "removing twice", err, mesh.NotFound, "")
	eve := w.outsider("eve@example.com")
	if ms, err := w.st.RemoveUser(ctx, eve.UserID); err != nil || len(ms) != 1 {
		t.Errorf("who is alone in an organization: %+v, %v", ms, err)
	}
	w.invited("bob@example.com", mesh.RoleMember) // the address is free
	if es, err := w.st.Audit(ctx, "", "", 100); err != nil || !slices.ContainsFunc(es, func(e store.AuditEntry) bool {
		return e.Action == "user.remove" && e.Target == "bob@example.com" && strings.Contains(e.Before, `"default":"admin"`)
	}) {
		t.Errorf("Audit = %+v, %v", es, err)
	}
}
