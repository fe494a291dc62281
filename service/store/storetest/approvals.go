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
	_, _, err := w.PollDeviceLogin(ctx, old, key)
	wantKind(t, "the older login", err, mesh.NotFound)
	_, err = w.PendingDeviceLogin(ctx, "BBBB-BBBB")
	wantKind(t, "the older code", err, mesh.NotFound)
	_, err = w.StartDeviceLogin(ctx, store.DeviceLogin{Key: newKey(t)}, "CCCC-CCCC", time.Minute)
	wantKind(t, "a user code in use", err, mesh.Conflict)
	d, err := w.PendingDeviceLogin(ctx, "CCCC-CCCC")
	if err != nil || d.Key != key || d.Hostname != "laptop[2J" || d.Addr.String() != "192.0.2.7" || len(d.Prefixes) != 1 || d.State != store.DevicePending || d.Org != "" {
		t.Errorf("PendingDeviceLogin = %+v, %v", d, err)
	}
	_, _, err = w.PollDeviceLogin(ctx, code, newKey(t))
	wantKind(t, "another node's poll", err, mesh.NotFound)
	d, before, err := w.PollDeviceLogin(ctx, code, key)
	if err != nil || d.State != store.DevicePending || !before.IsZero() {
		t.Errorf("PollDeviceLogin = %+v, %v, %v", d, before, err)
	}
	d, err = w.DecideDeviceLogin(ctx, w.org.ID, "CCCC-CCCC", false, time.Minute)
	if err != nil || d.State != store.DeviceDenied {
		t.Errorf("DecideDeviceLogin = %+v, %v", d, err)
	}
	_, err = w.DecideDeviceLogin(ctx, w.org.ID, "CCCC-CCCC", true, time.Minute)
	wantKind(t, "a second answer", err, mesh.Conflict)
	if d, _, err = w.PollDeviceLogin(ctx, code, key); err != nil || d.State != store.DeviceDenied {
		t.Errorf("PollDeviceLogin after the answer = %+v, %v", d, err)
	}
	_, err = w.Register(ctx, store.Registration{Key: key, Approval: code})
	wantKind(t, "a denied node", err, mesh.Denied)
	key = newKey(t)
	code = w.wait(key, "DDDD-DDDD")
	pass(time.Minute)
	_, _, err = w.PollDeviceLogin(ctx, code, key)
	wantKind(t, "an expired login", err, mesh.NotFound)
	_, err = w.DecideDeviceLogin(ctx, w.org.ID, "DDDD-DDDD", true, time.Minute)
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
		_, err := w.DecideDeviceLogin(ctx, org, user, true, time.Minute)
		wantOK(t, "DecideDeviceLogin", err)
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
	_, err = w.RemoveNode(ctx, other.org.ID, string(r.Node.ID))
	wantOK(t, "RemoveNode", err)
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
	_, err := w.DecideDeviceLogin(t.Context(), w.org.ID, "FFFF-FFFF", true, time.Minute)
	wantOK(t, "DecideDeviceLogin", err)
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
		_, err := w.DecideDeviceLogin(context.Background(), org, "GGGG-GGGG", i%3 == 0, time.Minute)
		if err == nil {
			won.Add(1)
		} else if mesh.KindOf(err) != mesh.Conflict {
			t.Errorf("DecideDeviceLogin: %v", err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d answers counted", won.Load())
	}
}
