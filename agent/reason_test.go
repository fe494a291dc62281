package agent

import (
	"net/netip"
	"testing"

	"nexd/agent/localapi"
	"nexd/internal/stun"
	"nexd/mesh"
	"nexd/tunnel/reflexive"
)

func TestWhyTheRelay(t *testing.T) {
	const why = "no direct address has answered yet"
	for _, tt := range []struct {
		self, peer   mesh.NAT
		reason, text string
	}{
		{mesh.NATUnknown, mesh.NATUnknown, "", why},
		{mesh.NATIndependent, mesh.NATIndependent, "", why},
		{mesh.NATDependent, mesh.NATDependent, localapi.ReasonBothNATsDepend, "both NATs are symmetric (mapping by destination)"},
		{mesh.NATDependent, mesh.NATIndependent, localapi.ReasonOwnNATDepends, "this node's NAT is symmetric (mapping by destination); " + why},
		{mesh.NATDependent, mesh.NATUnknown, localapi.ReasonOwnNATDepends, "this node's NAT is symmetric (mapping by destination); " + why},
		{mesh.NATUnknown, mesh.NATDependent, localapi.ReasonPeerNATDepends, "bob's NAT is symmetric (mapping by destination); " + why},
		{mesh.NATBlocked, mesh.NATDependent, localapi.ReasonOwnUDPBlocked, "UDP is blocked here"},
		{mesh.NATDependent, mesh.NATBlocked, localapi.ReasonPeerUDPBlocked, "bob's UDP is blocked"},
	} {
		reason, text := whyRelay(tt.self, tt.peer, "bob", why)
		if reason != tt.reason || text != tt.text {
			t.Errorf("%q and %q: %q, %q; want %q, %q", tt.self, tt.peer, reason, text, tt.reason, tt.text)
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
		{reflexive.Mapped{Addrs: at, Answered: 2, Mapping: stun.PortlessMapping, Silent: true}, mesh.NATBlocked},
	} {
		if got := natOf(tt.m); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.m, got, tt.want)
		}
	}
}
