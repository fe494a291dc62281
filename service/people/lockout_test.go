package people_test

import (
	"net/netip"
	"testing"
	"time"

	"nexd/mesh"
)

// Who guesses a password from elsewhere slows themselves down, and does not keep
// the person out of the places where they have signed in before.
func TestGuessingKeepsNobodyOut(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	home, evil := netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("198.51.100.66")
	if _, err := w.Login(ctx, "ada@example.com", password, home); err != nil {
		t.Fatal(err)
	}
	guess := func() {
		t.Helper()
		for range 12 {
			_, err := w.Login(ctx, "ada@example.com", "wrong horse", evil)
			if k := mesh.KindOf(err); k != mesh.Denied && k != mesh.Exhausted {
				t.Fatalf("a guess: %v", err)
			}
		}
	}
	guess()
	_, err := w.Login(ctx, "ada@example.com", password, evil)
	wantKind(t, "the right one where it was guessed at", err, mesh.Exhausted, "")
	_, err = w.Login(ctx, "ada@example.com", password, netip.MustParseAddr("203.0.113.9"))
	wantKind(t, "the right one at a new place", err, mesh.Exhausted, "")
	s, err := w.Login(ctx, "ada@example.com", password, netip.MustParseAddr("2001:db8:1::2"))
	if err != nil {
		t.Fatalf("the person at home: %v", err)
	}
	if _, err := w.SetPassword(ctx, s.Caller, password, "battery staple"); err != nil {
		t.Errorf("a change of the password meanwhile: %v", err)
	}
	slowed := 0
	for range 12 { // the place has a budget, not a licence
		if _, err := w.Login(ctx, "ada@example.com", "wrong horse", home); mesh.KindOf(err) == mesh.Exhausted {
			slowed++
		}
	}
	if slowed != 2 {
		t.Errorf("of 12 guesses at home %d were slowed down", slowed)
	}
	w.pass(31 * 24 * time.Hour)
	if n, err := w.st.Purge(ctx); err != nil || n == 0 {
		t.Errorf("Purge = %d, %v", n, err)
	}
	guess()
	_, err = w.Login(ctx, "ada@example.com", "battery staple", home)
	wantKind(t, "home after a month away", err, mesh.Exhausted, "")
}
