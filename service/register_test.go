package service_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/store"
)

func TestRegisterAndComeBack(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	n := r.node(t)
	first := n.mustRegister(w.boot.KeySecret, "Router.example.com", "172.24.0.0/24")
	if !first.Created || first.Organization != "default" || first.Node.Name != "router" || first.Node.Key != n.key.Public() {
		t.Errorf("registered as %+v", first)
	}
	if len(first.Node.Addresses) != 2 || !slices.Equal(first.Node.Prefixes, prefixesOf([]string{"172.24.0.0/24"})) {
		t.Errorf("addresses %v, prefixes %v", first.Node.Addresses, first.Node.Prefixes)
	}
	if want := netip.MustParseAddrPort("127.0.0.1:51820"); !slices.Contains(first.Node.Endpoints, want) {
		t.Errorf("endpoints %v lack the observed %v", first.Node.Endpoints, want)
	}
	if first.Version.Epoch == "" || first.Version.Rev == 0 {
		t.Errorf("version %v", first.Version)
	}
	again := n.mustRegister("", "another-name", "172.24.0.0/24")
	if again.Created || again.Node.ID != first.Node.ID || again.Node.Name != "router" || !slices.Equal(again.Node.Addresses, first.Node.Addresses) {
		t.Errorf("came back as %+v, was %+v", again.Node, first.Node)
	}
	if again.Session.Token == first.Session.Token {
		t.Error("a session token was given out twice")
	}
}

func TestRegistrationKeys(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := w.start(func(c *service.Config, o *store.Options) { c.Now, o.Now = clock, clock })
	org := w.boot.Organization.ID
	mk := func(p store.KeyParams) (store.RegistrationKey, string) {
		k, secret, err := r.store.CreateKey(t.Context(), org, p)
		if err != nil {
			t.Fatal(err)
		}
		return k, secret
	}
	revoked, revokedSecret := mk(store.KeyParams{})
	if _, err := r.store.RevokeKey(t.Context(), org, revoked.ID); err != nil {
		t.Fatal(err)
	}
	_, expired := mk(store.KeyParams{Lifetime: time.Minute})
	_, once := mk(store.KeyParams{Uses: 1})
	r.node(t).mustRegister(once, "one")
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	for _, tt := range []struct{ name, key, reason, text string }{
		{"none", "", control.ReasonRegKeyNeeded, "--reg-key-file"},
		{"unknown", "nxk_" + strings.Repeat("a", len(once)-4), control.ReasonRegKey, ""},
		{"revoked", revokedSecret, control.ReasonRegKey, "revoked"},
		{"expired", expired, control.ReasonRegKey, "expired"},
		{"used up", once, control.ReasonRegKey, "used"},
	} {
		_, err := r.node(t).register(tt.key, tt.name)
		if mesh.KindOf(err) != mesh.Denied || control.ReasonOf(err) != tt.reason || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v (reason %q)", tt.name, err, control.ReasonOf(err))
		}
		if tt.key != "" && strings.Contains(err.Error(), tt.key) {
			t.Errorf("%s: the error shows the key", tt.name)
		}
	}
	if _, err := r.node(t).register("hello", "x"); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("what is no key: %v", err)
	}
	nodes, err := r.store.Nodes(t.Context(), org)
	if err != nil || len(nodes) != 1 {
		t.Errorf("refused nodes left something behind: %v, %v", nodes, err)
	}
	// the pin behind a key is no business of the service
	k, err := control.ParseRegKey(w.boot.KeySecret)
	if err != nil {
		t.Fatal(err)
	}
	r.node(t).mustRegister(k.WithPin(w.pin).Text(), "pinned")
}

func TestOneUseKeyRacedBy50(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(), w.start()
	_, secret, err := a.store.CreateKey(t.Context(), w.boot.Organization.ID, store.KeyParams{Uses: 1})
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 50)
	var wg sync.WaitGroup
	for i := range errs {
		n := []*replica{a, b}[i%2].node(t)
		wg.Go(func() { _, errs[i] = n.register(secret, "n") })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case mesh.KindOf(err) != mesh.Denied:
			t.Errorf("loser got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d nodes used a key of one use", won)
	}
	if ds, _ := a.store.Nodes(t.Context(), w.boot.Organization.ID); len(ds) != 1 {
		t.Errorf("%d nodes", len(ds))
	}
}

func TestPrefixConflictNamesTheHolder(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	r.node(t).mustRegister(w.boot.KeySecret, "node1", "172.24.0.0/16")
	other := r.node(t)
	_, err := other.register(w.boot.KeySecret, "node2", "172.24.5.0/24")
	if mesh.KindOf(err) != mesh.Conflict {
		t.Fatalf("overlap: %v", err)
	}
	for _, part := range []string{"172.24.5.0/24", "172.24.0.0/16", "node1", "last seen", "nexservice prefix release 172.24.0.0/16"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	var e *control.Error
	if !errors.As(err, &e) || e.Holding == nil || e.Holding.HolderName != "node1" || e.Holding.Prefix.String() != "172.24.0.0/16" || e.Holding.LastSeen.IsZero() {
		t.Errorf("holding = %+v", e)
	}
	if _, err := other.register("", "node2"); control.ReasonOf(err) != control.ReasonRegKeyNeeded {
		t.Errorf("the refused node is half registered: %v", err)
	}
	other.mustRegister(w.boot.KeySecret, "node2", "172.25.0.0/24")
	_, err = other.advertise("172.25.0.0/24", "172.24.0.0/24")
	if mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("advertise: %v", err)
	}
	for _, bad := range []string{"0.0.0.0/0", "127.0.0.0/8", "100.64.1.0/24", "224.0.0.0/8", "fe80::/64", "::1/128"} {
		if _, err := other.advertise(bad); mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), bad) {
			t.Errorf("advertise %s: %v", bad, err)
		}
	}
}

func TestWithdrawnPrefixStaysHeld(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a, b := r.node(t), r.node(t)
	a.mustRegister(w.boot.KeySecret, "a", "172.24.0.0/24")
	b.mustRegister(w.boot.KeySecret, "b")
	before, err := a.advertise()
	if err != nil || len(before.Prefixes) != 0 || before.Version.Rev == 0 {
		t.Fatalf("withdraw: %+v, %v", before, err)
	}
	if _, err := b.advertise("172.24.0.0/24"); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("a held prefix went to another node: %v", err)
	}
	if _, err := a.advertise("172.24.0.0/24"); err != nil {
		t.Errorf("advertise again: %v", err)
	}
}

func TestOrganizationsDoNotMeet(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	other, err := r.store.CreateOrganization(t.Context(), "other", "")
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := r.store.CreateKey(t.Context(), other.ID, store.KeyParams{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := r.node(t), r.node(t)
	ra := a.mustRegister(w.boot.KeySecret, "node1", "172.24.0.0/24")
	rb := b.mustRegister(otherKey, "node1", "172.24.0.0/24")
	if rb.Organization != "other" || ra.Node.ID == rb.Node.ID || ra.Node.Name != rb.Node.Name || ra.Node.Addresses[0] != rb.Node.Addresses[0] {
		t.Errorf("two organizations: %+v and %+v", ra.Node, rb.Node)
	}
	ma := a.watch(nil).until("a map", func(*mesh.NetworkMap) bool { return true })
	mb := b.watch(nil).until("a map", func(*mesh.NetworkMap) bool { return true })
	if len(ma.Peers)+len(mb.Peers) != 0 || ma.Organization != "default" || mb.Organization != "other" {
		t.Errorf("maps mix organizations: %+v, %+v", ma, mb)
	}
	// the same node key with the other organization's key
	if _, err := a.register(otherKey, "node1"); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("node of another organization: %v", err)
	}
	if again := a.mustRegister("", "node1", "172.24.0.0/24"); again.Organization != "default" {
		t.Errorf("the node moved to %s", again.Organization)
	}
}

func TestLeave(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a, b := r.node(t), r.node(t)
	a.mustRegister(w.boot.KeySecret, "a", "172.24.0.0/24")
	b.mustRegister(w.boot.KeySecret, "b")
	seen := b.watch(nil)
	seen.until("a", hasPeer("a"))
	if err := a.leave(); err != nil {
		t.Fatal(err)
	}
	seen.until("no a", func(m *mesh.NetworkMap) bool { return len(m.Peers) == 0 })
	if _, err := a.client.UpdateEndpoints(t.Context(), control.EndpointUpdate{}); control.ReasonOf(err) != control.ReasonGone {
		t.Errorf("a node that left: %v", err)
	}
	if _, err := b.advertise("172.24.0.0/24"); err != nil {
		t.Errorf("its prefix is not free: %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a, b := r.node(t), r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	first := b.mustRegister(w.boot.KeySecret, "b")
	seen := a.watch(nil)
	m := seen.until("b", hasPeer("b"))
	eps := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:4242"), netip.MustParseAddrPort("[2001:db8::7]:4242"), netip.MustParseAddrPort("127.0.0.2:4242")}
	got, err := b.client.UpdateEndpoints(t.Context(), control.EndpointUpdate{ListenPort: 4242, Endpoints: eps})
	want := append(slices.Clone(eps), netip.MustParseAddrPort("127.0.0.1:4242"))
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("endpoints = %v, %v", got, err)
	}
	next := seen.until("endpoints of b", func(m *mesh.NetworkMap) bool { n, _ := nodeNamed(m, "b"); return slices.Equal(n.Endpoints, want) })
	if next.Version != m.Version {
		t.Errorf("endpoints moved the map from %v to %v", m.Version, next.Version)
	}
	for _, sent := range []mesh.NAT{mesh.NATDependent, "of a later version", mesh.NATBlocked} {
		want := sent.Clean()
		if _, err := b.client.UpdateEndpoints(t.Context(), control.EndpointUpdate{ListenPort: 4242, Endpoints: eps, NAT: sent}); err != nil {
			t.Errorf("NAT %q: %v", sent, err)
		}
		next = seen.until("what b says of its NAT", func(m *mesh.NetworkMap) bool { n, _ := nodeNamed(m, "b"); return n.NAT == want })
		if next.Version != m.Version {
			t.Errorf("NAT %q moved the map from %v to %v", sent, m.Version, next.Version)
		}
	}
	full := make([]netip.AddrPort, control.MaxEndpoints)
	for i := range full {
		full[i] = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), uint16(i+1))
	}
	got, err = b.client.UpdateEndpoints(t.Context(), control.EndpointUpdate{ListenPort: 9, Endpoints: full})
	if err != nil || len(got) != control.MaxEndpoints || got[len(got)-1].String() != "127.0.0.1:9" {
		t.Errorf("a full set gives %v, %v", got, err)
	}
	_, err = b.client.UpdateEndpoints(t.Context(), control.EndpointUpdate{Endpoints: append(full, full[0])})
	if mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("17 endpoints: %v", err)
	}
	for _, bad := range []string{"192.0.2.1:0", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1", "[fe80::1%25eth0]:1", "[::ffff:1.2.3.4]:1"} {
		ep, err := netip.ParseAddrPort(strings.ReplaceAll(bad, "%25", "%"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.client.UpdateEndpoints(t.Context(), control.EndpointUpdate{Endpoints: []netip.AddrPort{ep}}); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("endpoint %s: %v", bad, err)
		}
	}
	if n, _ := nodeNamed(seen.until("b", hasPeer("b")), "b"); n.ID != first.Node.ID {
		t.Error("b is another node")
	}
}
