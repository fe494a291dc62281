package node

import (
	"net/netip"
	"testing"

	"nexd/internal/stun"
	"nexd/mesh"
	"nexd/tunnel/reflexive"
)

func TestWhyTheRelay(t *testing.T) {
	const why = "no direct address has answered yet"
	for _, tt := range []struct {
		self, peer  mesh.NAT
		cause, text string
	}{
		{mesh.NATUnknown, mesh.NATUnknown, "", why},
		{mesh.NATIndependent, mesh.NATIndependent, "", why},
		{mesh.NATDependent, mesh.NATDependent, CauseBothNATsDepend, "both NATs are symmetric (mapping by destination)"},
		{mesh.NATDependent, mesh.NATIndependent, CauseOwnNATDepends, "this node's NAT is symmetric (mapping by destination); " + why},
		{mesh.NATDependent, mesh.NATUnknown, CauseOwnNATDepends, "this node's NAT is symmetric (mapping by destination); " + why},
		{mesh.NATUnknown, mesh.NATDependent, CausePeerNATDepends, "bob's NAT is symmetric (mapping by destination); " + why},
		{mesh.NATBlocked, mesh.NATDependent, CauseOwnUDPBlocked, "UDP is blocked here"},
		{mesh.NATDependent, mesh.NATBlocked, CausePeerUDPBlocked, "bob's UDP is blocked"},
	} {
		cause, text := relayCause(tt.self, tt.peer, "bob", why)
		if cause != tt.cause || text != tt.text {
			t.Errorf("%q and %q: %q, %q; want %q, %q", tt.self, tt.peer, cause, text, tt.cause, tt.text)
		}
	}
}

func TestNATOfWhatSTUNShowed(t *testing.T) {
	at := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:1")}
	for _, tt := range []struct {
		m    reflexive.Mapped
		want mesh.NAT
	}{
		{reflexive.Mapped{}, mesh.NATUnknown},
		{reflexive.Mapped{Addrs: at, Answered: 1}, mesh.NATUnknown},
		{reflexive.Mapped{Addrs: at, Answered: 2, Mapping: stun.PortlessMapping}, mesh.NATIndependent},
		{reflexive.Mapped{Addrs: at, Answered: 2, Mapping: stun.AddressPortMapping}, mesh.NATDependent},
		{reflexive.Mapped{Addrs: at, Answered: 2, Mapping: stun.PortlessMapping, Blocked: true}, mesh.NATBlocked},
	} {
		if got := natOf(tt.m); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.m, got, tt.want)
		}
	}
}
