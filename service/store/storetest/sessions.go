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
