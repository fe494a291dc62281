package node

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/node/state"
)

func mustOpen(t testing.TB) *state.State {
	t.Helper()
	st, err := state.New()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestIdentityStaysWithItsService(t *testing.T) {
	st := mustOpen(t)
	st.Node = "n"
	kept := control.JoinURL{Scheme: "https", Host: "a:1", Pin: control.Pin{1}}
	for _, tt := range []struct {
		url  control.JoinURL
		want string
	}{
		{control.JoinURL{Scheme: "https", Host: "a:1", Pin: control.Pin{1}}, ""},
		{control.JoinURL{Scheme: "https", Host: "a:1"}, ""},
		{control.JoinURL{Scheme: "https", Host: "b:1"}, "belongs to the service"},
		{control.JoinURL{Scheme: "https", Host: "a:1", Pin: control.Pin{2}}, "pin of"},
	} {
		url := tt.url
		st.Service = &kept
		err := sameService(st, &url)
		if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("sameService(%v) = %v, want %q", tt.url, err, tt.want)
		}
		if err == nil && url.Pin != kept.Pin {
			t.Errorf("the way of trust changed to %v", url.Pin)
		}
	}
}

func TestWhatEndsAMember(t *testing.T) {
	answered := func(k mesh.Kind, reason string) error { return control.Errorf(k, reason, "the service says no") }
	between := func(k mesh.Kind) error { return mesh.Errorf(k, "something between says no") }
	for _, tt := range []struct {
		name               string
		err                error
		cached, registered bool
		want               bool
	}{
		{"removed", answered(mesh.Denied, control.ReasonGone), true, true, true},
		{"another agent took over", answered(mesh.Conflict, control.ReasonReplaced), true, true, false},
		{"conflict at the first word", answered(mesh.Conflict, ""), true, false, true},
		{"conflict later", answered(mesh.Conflict, ""), true, true, false},
		{"wrong pin, nothing to live by", between(mesh.Denied), false, false, true},
		{"wrong pin, a map to live by", between(mesh.Denied), true, false, false},
		{"unreachable", between(mesh.Unavailable), false, false, false},
		{"database away", answered(mesh.Unavailable, ""), false, false, false},
		{"foreign", errors.New("?"), false, false, false},
	} {
		m := &member{cached: tt.cached}
		if got := m.final(tt.err, tt.registered); got != tt.want {
			t.Errorf("%s: final = %v", tt.name, got)
		}
	}
}

// A first join waits longer for the node that it replaces than for the service.
func TestHowLongAFirstJoinWaits(t *testing.T) {
	held, away := control.Errorf(mesh.Unavailable, control.ReasonHeld, "held by edge"), mesh.Errorf(mesh.Unavailable, "refused")
	if (&member{}).final(held, false) {
		t.Error("a held prefix ends the join at once")
	}
	var lines strings.Builder
	(&link{url: "https://a"}).lost(held, slog.New(slog.NewTextHandler(&lines, nil)))
	if got := lines.String(); !strings.Contains(got, "waiting for the node that this one replaces") || strings.Contains(got, "not reached") {
		t.Errorf("log: %s", got)
	}
	for _, tt := range []struct {
		err         error
		tried       time.Duration
		ends        bool
		unreachable bool
	}{
		{away, joinPatience, false, false}, {away, joinPatience + 1, true, true},
		{held, heldPatience, false, false}, {held, heldPatience + 1, true, false},
	} {
		err := outOfPatience(tt.err, tt.tried)
		if (err != nil) != tt.ends || errors.Is(err, ErrUnreachable) != tt.unreachable || err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%v after %v: %v", tt.err, tt.tried, err)
		}
	}
}

func TestLinkSaysEachChangeOnce(t *testing.T) {
	var lines strings.Builder
	log := slog.New(slog.NewTextHandler(&lines, nil))
	l := &link{url: "https://a"}
	down := errors.New("refused")
	for range 5 {
		l.lost(down, log)
	}
	l.up(log)
	l.up(log)
	l.lost(down, log)
	l.lost(down, log)
	if got := strings.Count(lines.String(), "\n"); got != 3 {
		t.Errorf("%d lines, want 3:\n%s", got, &lines)
	}
	if first, _, _ := strings.Cut(lines.String(), "\n"); !strings.Contains(first, "service not reached") || strings.Count(lines.String(), "service lost") != 1 {
		t.Errorf("a service that never was there is not lost:\n%s", &lines)
	}
	if on, since, err := l.state(); on || since.IsZero() || err == nil {
		t.Errorf("state = %v %v %v", on, since, err)
	}
}
