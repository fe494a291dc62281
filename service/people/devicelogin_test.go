package people_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

func (w *town) start(prefixes ...string) (mesh.Key, control.DeviceLogin) {
	w.t.Helper()
	key, err := mesh.NewPrivateKey()
	if err != nil {
		w.t.Fatal(err)
	}
	r := people.DeviceLoginRequest{Key: key.Public(), Hostname: "<b>laptop</b>", OS: "linux", Version: "1", From: netip.MustParseAddr("198.51.100.7")}
	for _, p := range prefixes {
		r.Prefixes = append(r.Prefixes, netip.MustParsePrefix(p))
	}
	d, err := w.StartDeviceLogin(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return key.Public(), d
}

func TestDeviceLogin(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	key, d := w.start("172.24.0.0/24")
	if d.VerificationURI != "https://mesh.example/device" || d.VerificationURIComplete != "https://mesh.example/device?user_code="+d.UserCode || d.ExpiresIn != 900 || d.Interval != 3 {
		t.Errorf("StartDeviceLogin = %+v", d)
	}
	if code, ok := people.ParseUserCode(d.UserCode); !ok || code != d.UserCode {
		t.Errorf("the code %q is read as %q", d.UserCode, code)
	}
	poll := func() (control.DeviceToken, error) { return w.PollDeviceLogin(ctx, d.DeviceCode, key, here) }
	_, err := poll()
	wantKind(t, "the first poll", err, mesh.Unavailable, control.ReasonPending)
	w.pass(time.Second)
	_, err = poll()
	wantKind(t, "a poll too soon", err, mesh.Unavailable, control.ReasonSlowDown)
	if control.RetryAfter(err) != 8*time.Second {
		t.Errorf("slow down by %v", control.RetryAfter(err))
	}
	w.pass(3 * time.Second)
	_, err = poll()
	wantKind(t, "a poll in time", err, mesh.Unavailable, control.ReasonPending)
	other, _ := w.start()
	_, err = w.PollDeviceLogin(ctx, d.DeviceCode, other, here)
	wantKind(t, "another node's poll", err, mesh.Denied, control.ReasonExpiredToken)

	typed := strings.ToLower(strings.ReplaceAll(d.UserCode, "-", " "))
	n, err := w.PendingNode(ctx, w.ada, typed)
	if err != nil || n.Key != key || n.Hostname != "<b>laptop</b>" || n.OS != "linux" || n.Address.String() != "198.51.100.7" || len(n.Prefixes) != 1 || n.Fingerprint != control.Fingerprint(key) || n.State != "pending" {
		t.Errorf("PendingNode = %+v, %v", n, err)
	}
	if _, err := poll(); control.ReasonOf(err) == "" {
		t.Error("looking approved the node")
	}
	n, o, err := w.ApproveNode(ctx, w.ada, typed, "")
	if err != nil || n.State != "approved" || o.Name != "default" {
		t.Fatalf("ApproveNode = %+v, %+v, %v", n, o, err)
	}
	_, _, err = w.ApproveNode(ctx, w.ada, typed, "")
	wantKind(t, "a second approval", err, mesh.Conflict, "")
	_, err = w.DenyNode(ctx, w.ada, typed)
	wantKind(t, "a denial afterwards", err, mesh.Conflict, "")
	eve := w.outsider("eve@example.com")
	_, err = w.PendingNode(ctx, eve, typed)
	wantKind(t, "a look from elsewhere", err, mesh.NotFound, "")
	_, _, err = w.ApproveNode(ctx, eve, typed, "")
	wantKind(t, "an approval from elsewhere", err, mesh.NotFound, "")
	tok, err := poll()
	if err != nil || tok.Organization != "default" || tok.Expires.Sub(w.now()) != 10*time.Minute {
		t.Errorf("PollDeviceLogin = %+v, %v", tok, err)
	}
	reg := store.Registration{Key: key, Approval: d.DeviceCode, Hostname: "laptop"}
	if r, err := w.st.Register(ctx, reg); err != nil || !r.New {
		t.Errorf("Register = %+v, %v", r, err)
	}
	_, err = poll()
	wantKind(t, "a poll with a used code", err, mesh.Denied, control.ReasonExpiredToken)
	_, err = w.PendingNode(ctx, w.ada, typed)
	wantKind(t, "a used code", err, mesh.NotFound, "")
	page, err := w.Audit(ctx, w.ada, "", "", 0)
	if es := page.Entries; err != nil || es[0].Action != "node.register" && es[1].Action != "node.register" {
		t.Errorf("Audit = %+v, %v", page, err)
	}
}

func TestDeviceDenied(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	_, d := w.start()
	auditor := w.invited("auditor@example.com", mesh.RoleAuditor)
	_, err := w.DenyNode(ctx, auditor, d.UserCode)
	wantKind(t, "an auditor denies", err, mesh.Denied, control.ReasonRole)
	if _, err := w.CreateOrganization(ctx, auditor, "lab"); err != nil { // the default one is still where they audit
		t.Fatal(err)
	}
	if n, err := w.DenyNode(ctx, auditor, d.UserCode); err != nil || n.State != "denied" {
		t.Errorf("an auditor who owns another organization denies: %+v, %v", n, err)
	}
	if page, err := w.Audit(ctx, auditor, "lab", "", 0); err != nil || !slices.ContainsFunc(page.Entries, func(e control.AuditEntry) bool { return e.Action == "node.deny" }) {
		t.Errorf("Audit = %+v, %v", page, err)
	}
	key, d := w.start()
	_, _, err = w.ApproveNode(ctx, w.ada, d.UserCode, "nowhere")
	wantKind(t, "approval for nowhere", err, mesh.NotFound, "")
	if n, err := w.DenyNode(ctx, w.ada, d.UserCode); err != nil || n.State != "denied" {
		t.Errorf("DenyNode = %+v, %v", n, err)
	}
	_, err = w.PollDeviceLogin(ctx, d.DeviceCode, key, here)
	wantKind(t, "a denied node's poll", err, mesh.Denied, control.ReasonAccessDenied)
	key, d = w.start()
	w.pass(15 * time.Minute)
	_, err = w.PollDeviceLogin(ctx, d.DeviceCode, key, here)
	wantKind(t, "an expired code", err, mesh.Denied, control.ReasonExpiredToken)
	_, err = w.PendingNode(ctx, w.ada, d.UserCode)
	wantKind(t, "an expired user code", err, mesh.NotFound, "")
	for _, bad := range []string{"", "nxd_guess", strings.Repeat("x", 1<<20)} {
		_, err := w.PollDeviceLogin(ctx, bad, key, here)
		wantKind(t, "a device code that is none", err, mesh.Denied, control.ReasonExpiredToken)
	}
}

// Guessing codes ends after some, for the session wherever it comes from, and for
// the address whoever comes from it.
func TestCodeGuessing(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	_, d := w.start()
	tries := func(c people.Caller, from func(i int) netip.Addr) (tried int) {
		for i := range 60 {
			c.From = from(i)
			switch _, err := w.PendingNode(ctx, c, "BBBB-BBBB"); mesh.KindOf(err) {
			case mesh.NotFound:
				tried++
			case mesh.Exhausted:
			default:
				t.Errorf("PendingNode: %v", err)
			}
		}
		return tried
	}
	if n := tries(w.ada, func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}) }); n != 30 {
		t.Errorf("a session tried %d codes", n)
	}
	bob := w.invited("bob@example.com", mesh.RoleMember)
	same := netip.MustParseAddr("203.0.113.1")
	first := tries(bob, func(int) netip.Addr { return same })
	second := tries(w.outsider("eve@example.com"), func(int) netip.Addr { return same })
	if first != 30 || second != 0 {
		t.Errorf("an address tried %d and %d codes", first, second)
	}
	_, _, err := w.ApproveNode(ctx, w.ada, d.UserCode, "")
	wantKind(t, "approving meanwhile", err, mesh.Exhausted, "")
	w.pass(13 * time.Minute)
	if _, _, err := w.ApproveNode(ctx, w.ada, d.UserCode, ""); err != nil {
		t.Errorf("approving later: %v", err)
	}
}

func TestOneAnswer(t *testing.T) {
	w := newTown(t)
	_, d := w.start()
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	callers := make([]people.Caller, 50)
	for i := range callers {
		callers[i] = w.outsider(strings.Repeat("x", i+1) + "@example.com")
		callers[i].From = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
	}
	for _, c := range callers {
		wg.Go(func() {
			_, _, err := w.ApproveNode(context.Background(), c, d.UserCode, "")
			switch mesh.KindOf(err) {
			case mesh.NotFound:
				lost.Add(1)
			case mesh.Internal:
				if err == nil {
					won.Add(1)
					return
				}
				fallthrough
			default:
				t.Errorf("ApproveNode: %v", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 49 {
		t.Errorf("%d approved, %d lost", won.Load(), lost.Load())
	}
}

func TestWaitingIsLimited(t *testing.T) {
	w := newTown(t)
	slowed := 0
	for range 130 {
		key, _ := mesh.NewPrivateKey()
		if _, err := w.StartDeviceLogin(t.Context(), people.DeviceLoginRequest{Key: key.Public(), From: here}); mesh.KindOf(err) == mesh.Exhausted {
			slowed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if slowed != 10 {
		t.Errorf("%d of 130 were slowed down", slowed)
	}
}

func TestParseUserCode(t *testing.T) {
	for in, want := range map[string]string{
		"BCDF-GHJK": "BCDF-GHJK", "bcdfghjk": "BCDF-GHJK", " b c d f – g h j k ": "BCDF-GHJK",
		"": "", "BCDF": "", "BCDF-GHJKL": "", "ABCD-EFGH": "", "BCDF-GHJ1": "", "<script>": "", strings.Repeat("B", 1000): "",
	} {
		if got, ok := people.ParseUserCode(in); got != want || ok != (want != "") {
			t.Errorf("ParseUserCode(%q) = %q, %v", in, got, ok)
		}
	}
}

func FuzzParseUserCode(f *testing.F) {
	f.Add("BCDF-GHJK")
	f.Fuzz(func(t *testing.T, s string) {
		code, ok := people.ParseUserCode(s)
		if !ok {
			return
		}
		if again, ok := people.ParseUserCode(code); !ok || again != code || len(code) != 9 {
			t.Errorf("%q is read as %q, that as %q", s, code, again)
		}
	})
}
