package storetest

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"nexd/mesh"
	"nexd/service/store"
)

var registration = map[string]func(*testing.T, Open){
	"a known node needs no key and stays the same":   knownNode,
	"a registration key is used as often as it says": keyUses,
	"a registration is all or nothing":               registerAtomic,
	"a node key is in one organization":              oneHome,
	"names are labels and unique":                    nodeNames,
	"what a node says of itself is made harmless":    harmless,
	"a removed node leaves nothing behind":           removeNode,
	"nodes are found by ID and by name":              findNode,
	"endpoints have a counter of their own":          endpoints,
	"so has what a node says of its NAT":             natKinds,
	"touching raises no counter":                     touch,
	"a snapshot has all nodes by name":               snapshot,
}

func knownNode(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	reg := store.Registration{
		Key: newKey(t), RegistrationKey: w.secret, Hostname: "laptop", OS: "linux", Version: "1",
		Prefixes: parse("172.24.0.0/24"), Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:51820")},
	}
	first, err := w.Register(t.Context(), reg)
	wantOK(t, "Register", err)
	if !first.New || first.Organization.ID != w.org.ID || first.Node.Name != "laptop" || len(first.Node.Addresses) != 2 ||
		!reflect.DeepEqual(first.Node.Prefixes, reg.Prefixes) || !reflect.DeepEqual(first.Node.Endpoints, reg.Endpoints) || first.Node.LastSeen.IsZero() {
		t.Errorf("Register = %+v", first)
	}
	before := w.revs()
	reg.RegistrationKey, reg.Hostname, reg.Version = "", "other", "2"
	again, err := w.Register(t.Context(), reg)
	wantOK(t, "Register without a key", err)
	again.Node.LastSeen = first.Node.LastSeen
	if again.New || !reflect.DeepEqual(again.Node, first.Node) {
		t.Errorf("Register again = %+v, want %+v", again.Node, first.Node)
	}
	if after := w.revs(); after != before {
		t.Errorf("a registration that changes nothing moved %v to %v", before, after)
	}
	d, err := w.Node(t.Context(), w.org.ID, "laptop")
	if err != nil || d.Version != "2" || d.Hostname != "laptop" {
		t.Errorf("Node = %+v, %v", d, err)
	}
	reg.RegistrationKey = store.KeyPrefix + "stale"
	_, err = w.Register(t.Context(), reg)
	wantOK(t, "Register with a stale key", err)
	reg.RegistrationKey = w.secret
	_, err = w.Register(t.Context(), reg)
	wantOK(t, "Register with the key", err)
	if ks, err := w.Keys(t.Context(), w.org.ID); err != nil || ks[0].Used != 1 || ks[0].LastUsed.IsZero() {
		t.Errorf("a known node used up a key: %+v, %v", ks, err)
	}
}

func keyUses(t *testing.T, open Open) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := bootstrapped(t, open, store.Options{Now: func() time.Time { return now }})
	try := func(secret string) error {
		_, err := w.Register(t.Context(), store.Registration{Key: newKey(t), RegistrationKey: secret, Hostname: "x"})
		return err
	}
	refused := func(what, secret, why string) {
		t.Helper()
		err := try(secret)
		wantKind(t, what, err, mesh.Denied)
		if err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("%s: error %q does not say %q", what, err, why)
		}
	}
	two, twice, err := w.CreateKey(t.Context(), w.org.ID, store.KeyParams{Uses: 2})
	wantOK(t, "CreateKey", err)
	wantOK(t, "first use", try(twice))
	wantOK(t, "second use", try(twice))
	refused("third use", twice, "used up")
	_, short, err := w.CreateKey(t.Context(), w.org.ID, store.KeyParams{Lifetime: time.Minute})
	wantOK(t, "CreateKey", err)
	wantOK(t, "use in time", try(short))
	now = now.Add(time.Minute)
	refused("use too late", short, "expired at 2026-01-02T03:05:05Z")
	gone, revoked, err := w.CreateKey(t.Context(), w.org.ID, store.KeyParams{})
	wantOK(t, "CreateKey", err)
	_, err = w.RevokeKey(t.Context(), w.org.ID, gone.ID)
	wantOK(t, "RevokeKey", err)
	refused("use of a revoked key", revoked, "was revoked")
	refused("no key", "", "needs a registration key")
	refused("unknown key", store.KeyPrefix+"nosuchkey", "is not valid here")
	refused("only the prefix", two.Prefix, "is not valid here")
	if err := try(revoked); strings.Contains(err.Error(), revoked) {
		t.Errorf("error %q shows the key", err)
	}
	ks, err := w.Keys(t.Context(), w.org.ID)
	wantOK(t, "Keys", err)
	for _, k := range ks {
		if k.ID == two.ID && (k.Used != 2 || k.UsesLeft != 0) {
			t.Errorf("key after two uses: %+v", k)
		}
	}
}

func registerAtomic(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	w.join("node1", "172.24.0.0/24")
	_, once, err := w.CreateKey(t.Context(), w.org.ID, store.KeyParams{Uses: 1})
	wantOK(t, "CreateKey", err)
	before := w.snapshot()
	reg := store.Registration{Key: newKey(t), RegistrationKey: once, Hostname: "node2", Prefixes: parse("10.0.0.0/24", "172.24.0.0/25")}
	_, err = w.Register(t.Context(), reg)
	wantKind(t, "Register with a prefix in use", err, mesh.Conflict)
	reg.Prefixes = parse("10.0.0.0/24", "127.0.0.0/8")
	_, err = w.Register(t.Context(), reg)
	wantKind(t, "Register with a bad prefix", err, mesh.Invalid)
	reg.Prefixes, reg.Endpoints = nil, make([]netip.AddrPort, 1)
	_, err = w.Register(t.Context(), reg)
	wantKind(t, "Register with a bad endpoint", err, mesh.Invalid)
	_, err = w.Register(t.Context(), store.Registration{RegistrationKey: once})
	wantKind(t, "Register without a node key", err, mesh.Invalid)
	if after := w.snapshot(); !reflect.DeepEqual(after, before) {
		t.Errorf("failed registrations left\n%+v, before:\n%+v", after, before)
	}
	if held, err := w.Prefixes(t.Context(), w.org.ID); err != nil || len(held) != 1 {
		t.Errorf("held: %v, %v", held, err)
	}
	reg.Endpoints = nil
	r, err := w.Register(t.Context(), reg) // the one use is still there
	wantOK(t, "Register", err)
	if r.Node.Addresses[0].String() != "100.64.0.2" {
		t.Errorf("addresses %v: a failed registration took some", r.Node.Addresses)
	}
}

func oneHome(t *testing.T, open Open) {
	a := bootstrapped(t, open, store.Options{})
	b := a.second("acme")
	reg := store.Registration{Key: newKey(t), RegistrationKey: a.secret, Hostname: "x"}
	first, err := a.Register(t.Context(), reg)
	wantOK(t, "Register", err)
	reg.RegistrationKey = b.secret
	_, err = b.Register(t.Context(), reg)
	wantKind(t, "Register elsewhere", err, mesh.Conflict)
	if strings.Contains(err.Error(), a.org.Name) || strings.Contains(err.Error(), string(a.org.ID)) {
		t.Errorf("error %q names the other organization", err)
	}
	_, once, err := b.CreateKey(t.Context(), b.org.ID, store.KeyParams{Uses: 1})
	wantOK(t, "CreateKey", err)
	b.secret = once
	b.join("last")
	_, err = b.Register(t.Context(), store.Registration{Key: reg.Key, RegistrationKey: once})
	wantKind(t, "Register elsewhere with a key that is used up", err, mesh.Conflict) // the better reason
	org, id, err := b.NodeByKey(t.Context(), reg.Key)
	if err != nil || org != a.org.ID || id != first.Node.ID {
		t.Errorf("NodeByKey = %v, %v, %v", org, id, err)
	}
	_, err = a.RemoveNode(t.Context(), a.org.ID, "x")
	wantOK(t, "RemoveNode", err)
	moved, err := b.Register(t.Context(), reg)
	wantOK(t, "Register after the removal", err)
	if !moved.New || moved.Organization.ID != b.org.ID || moved.Node.ID == first.Node.ID {
		t.Errorf("moved to %+v", moved)
	}
	_, _, err = b.NodeByKey(t.Context(), newKey(t))
	wantKind(t, "NodeByKey of a stranger", err, mesh.NotFound)
}

func nodeNames(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	for _, tt := range []struct{ hostname, want string }{
		{"Web.example.com", "web"}, {"web", "web-2"}, {"web", "web-3"}, {"web-2", "web-2-2"}, {"webx", "webx"},
		{"localhost", "localhost-2"}, {"", "node"}, {"%", "node-2"}, {"_", "node-3"},
		{strings.Repeat("a", 70), strings.Repeat("a", 63)}, {strings.Repeat("a", 64), strings.Repeat("a", 61) + "-2"},
		{strings.Repeat("a", 65), strings.Repeat("a", 61) + "-3"},
	} {
		if n := w.join(tt.hostname); n.Name != tt.want {
			t.Errorf("host name %q became %q, want %q", tt.hostname, n.Name, tt.want)
		}
	}
	_, err := w.RemoveNode(t.Context(), w.org.ID, "web-2")
	wantOK(t, "RemoveNode", err)
	if n := w.join("web"); n.Name != "web-2" {
		t.Errorf("a free name is not given again: %q", n.Name)
	}
	for i := 2; i < 60; i++ {
		if n := w.join("same"); i > 2 && n.Name != fmt.Sprint("same-", i-1) {
			t.Errorf("name %q, want same-%d", n.Name, i-1)
		}
	}
}

func harmless(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	_, err := w.Register(t.Context(), store.Registration{
		Key: newKey(t), RegistrationKey: w.secret,
		Hostname: "a\x00b\xff'; DROP TABLE nodes; --\n" + strings.Repeat("é", 400), OS: "linux\x1b[31m\r\n", Version: strings.Repeat("v", 999),
	})
	wantOK(t, "Register", err)
	ds, err := w.Nodes(t.Context(), w.org.ID)
	wantOK(t, "Nodes", err)
	d := ds[0]
	if d.OS != "linux[31m" || len(d.Version) != 255 || len(d.Hostname) > 255 || !utf8.ValidString(d.Hostname) || strings.ContainsAny(d.Hostname, "\x00\n") || !strings.HasPrefix(d.Hostname, "ab'; DROP") {
		t.Errorf("host name %q, OS %q, version of %d bytes", d.Hostname, d.OS, len(d.Version))
	}
}

func removeNode(t *testing.T, open Open) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := bootstrapped(t, open, store.Options{Now: func() time.Time { return now }})
	w.join("stays", "10.1.0.0/16")
	n := w.join("goes", "172.24.0.0/24")
	token, _, err := w.CreateSession(t.Context(), w.org.ID, n.ID, 48*time.Hour)
	wantOK(t, "CreateSession", err)
	wantOK(t, "SetEndpoints", w.SetEndpoints(t.Context(), w.org.ID, n.ID, []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:5")}, mesh.NATUnknown))
	before := w.revs()

	d, err := w.RemoveNode(t.Context(), w.org.ID, "goes")
	wantOK(t, "RemoveNode", err)
	if d.ID != n.ID || len(d.Prefixes) != 1 || len(d.Endpoints) != 1 || d.Addresses[0] != n.Addresses[0] {
		t.Errorf("RemoveNode = %+v", d)
	}
	if after := w.revs(); after.Map != before.Map+1 {
		t.Errorf("revs %v became %v", before, after)
	}
	_, err = w.Session(t.Context(), token)
	wantKind(t, "the session of a removed node", err, mesh.Denied)
	_, err = w.RemoveNode(t.Context(), w.org.ID, "goes")
	wantKind(t, "RemoveNode again", err, mesh.NotFound)
	_, err = w.Register(t.Context(), store.Registration{Key: n.Key, Hostname: "goes"})
	wantKind(t, "Register without a key after the removal", err, mesh.Denied)
	if hs, err := w.Prefixes(t.Context(), w.org.ID); err != nil || len(hs) != 1 || hs[0].HolderName != "stays" {
		t.Errorf("Prefixes = %v, %v", hs, err)
	}
	if next := w.join("goes", "172.24.0.0/24"); next.Addresses[0] == n.Addresses[0] || next.Name != "goes" {
		t.Errorf("the next node is %+v", next)
	}
	if s := w.snapshot(); len(s.Nodes) != 2 {
		t.Errorf("snapshot has %d nodes", len(s.Nodes))
	}
}

func findNode(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	a, b := w.join("beta"), w.join("alpha", "10.0.0.0/24")
	impostor := w.join(string(a.ID)) // its name is a's ID
	ds, err := w.Nodes(t.Context(), w.org.ID)
	if err != nil || len(ds) != 3 {
		t.Fatalf("Nodes = %v, %v", ds, err)
	}
	for i := range ds[1:] {
		if ds[i].Name >= ds[i+1].Name {
			t.Errorf("nodes are not sorted: %s before %s", ds[i].Name, ds[i+1].Name)
		}
	}
	for _, tt := range []struct {
		name string
		want mesh.NodeID
	}{{"beta", a.ID}, {"alpha", b.ID}, {string(b.ID), b.ID}, {string(a.ID), a.ID}, {string(impostor.ID), impostor.ID}} {
		if d, err := w.Node(t.Context(), w.org.ID, tt.name); err != nil || d.ID != tt.want {
			t.Errorf("Node(%s) = %v, %v", tt.name, d.ID, err)
		}
	}
	_, err = w.Node(t.Context(), w.org.ID, "gamma")
	wantKind(t, "Node", err, mesh.NotFound)
}

func endpoints(t *testing.T, open Open) {
	told := 0
	w := bootstrapped(t, open, store.Options{OnCommit: func(mesh.OrgID) { told++ }})
	n := w.join("ada")
	before, toldBefore := w.revs(), told
	eps := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:51820"), netip.MustParseAddrPort("[2001:db8::7]:51820"), netip.MustParseAddrPort("10.0.0.7:51820")}
	set := func(eps ...netip.AddrPort) error {
		return w.SetEndpoints(t.Context(), w.org.ID, n.ID, eps, mesh.NATUnknown)
	}
	wantOK(t, "SetEndpoints", set(eps...))
	wantOK(t, "SetEndpoints again", set(eps...))
	mapped := netip.AddrPortFrom(netip.AddrFrom16(eps[0].Addr().As16()), eps[0].Port()) // ::ffff:192.0.2.7
	wantOK(t, "SetEndpoints mapped and twice", set(mapped, eps[1], eps[2], eps[0]))
	after := w.revs()
	if after.Map != before.Map || after.Endpoints != before.Endpoints+1 || told != toldBefore+1 {
		t.Errorf("revs %v became %v; told %d times", before, after, told-toldBefore)
	}
	s := w.snapshot()
	if !reflect.DeepEqual(s.Nodes[0].Endpoints, eps) || s.EndpointRev != after.Endpoints {
		t.Errorf("endpoints %v at %d", s.Nodes[0].Endpoints, s.EndpointRev)
	}
	wantOK(t, "SetEndpoints in another order", set(eps[2], eps[0], eps[1])) // the order is the node's preference
	if got := w.revs().Endpoints; got != after.Endpoints+1 {
		t.Errorf("endpoint revision %d", got)
	}
	for _, bad := range []netip.AddrPort{{}, netip.MustParseAddrPort("192.0.2.7:0"), netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("224.0.0.1:1"), netip.MustParseAddrPort("[fe80::1%eth0]:1")} {
		wantKind(t, "SetEndpoints "+bad.String(), set(bad), mesh.Invalid)
	}
	wantKind(t, "too many endpoints", set(make([]netip.AddrPort, store.MaxEndpoints+1)...), mesh.Invalid)
	wantKind(t, "endpoints of nobody", w.SetEndpoints(t.Context(), w.org.ID, "nobody", nil, mesh.NATUnknown), mesh.NotFound)
	wantOK(t, "SetEndpoints to none", set())
	if got := w.snapshot().Nodes[0].Endpoints; got == nil || len(got) != 0 {
		t.Errorf("endpoints %#v", got)
	}
}

func natKinds(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	n := w.join("ada")
	for _, nat := range []mesh.NAT{mesh.NATDependent, mesh.NATDependent, mesh.NATBlocked, mesh.NATUnknown} {
		before, had := w.revs(), w.snapshot().Nodes[0].NAT
		wantOK(t, "SetEndpoints", w.SetEndpoints(t.Context(), w.org.ID, n.ID, nil, nat))
		after, has := w.revs(), w.snapshot().Nodes[0].NAT
		if has != nat || after.Map != before.Map || (after.Endpoints != before.Endpoints) != (nat != had) {
			t.Errorf("%q became %q, wanted %q; revs %v became %v", had, has, nat, before, after)
		}
	}
}

func touch(t *testing.T, open Open) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	w := bootstrapped(t, open, store.Options{Now: func() time.Time { return now }})
	ada, bob := w.join("ada"), w.join("bob")
	before := w.revs()
	now = now.Add(time.Minute)
	wantOK(t, "Touch", w.Touch(t.Context(), w.org.ID, ada.ID, "nobody"))
	wantOK(t, "Touch of none", w.Touch(t.Context(), w.org.ID))
	s := w.snapshot()
	if !s.Nodes[0].LastSeen.Equal(now) || !s.Nodes[1].LastSeen.Equal(bob.LastSeen) || w.revs() != before {
		t.Errorf("last seen %v and %v, revs %v (before: %v)", s.Nodes[0].LastSeen, s.Nodes[1].LastSeen, w.revs(), before)
	}
}

func snapshot(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	cyd, ada := w.join("cyd"), w.join("ada", "fd00:9::/64", "172.24.0.0/24")
	w.join("bob")
	s := w.snapshot()
	if len(s.Nodes) != 3 || s.Nodes[0].ID != ada.ID || s.Nodes[1].Name != "bob" || s.Nodes[2].ID != cyd.ID {
		t.Fatalf("nodes %+v", s.Nodes)
	}
	if s.Organization.Name != "default" || !reflect.DeepEqual(s.Organization.Pools(), w.org.Pools()) || s.Version.Rev != w.revs().Map || s.Version.Epoch == "" {
		t.Errorf("snapshot %+v", s)
	}
	if got := s.Nodes[0].Prefixes; !reflect.DeepEqual(got, parse("172.24.0.0/24", "fd00:9::/64")) {
		t.Errorf("prefixes %v", got)
	}
	if n := s.Nodes[2]; n.Prefixes == nil || n.Endpoints == nil || !n.Addresses[0].Is4() || !n.Addresses[1].Is6() {
		t.Errorf("a node without prefixes and endpoints %+v", n)
	}
}
