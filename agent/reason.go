package agent

import (
	"nexd/agent/localapi"
	"nexd/mesh"
	"nexd/tunnel/reflexive"
)

// natOf is what this node tells its peers of what STUN showed.
func natOf(m reflexive.Mapped) mesh.NAT {
	switch {
	case m.Silent:
		return mesh.NATBlocked
	case m.Mapping.Depends():
		return mesh.NATDependent
	case m.Mapping.Known():
		return mesh.NATIndependent
	}
	return mesh.NATUnknown
}

// relayReason says what in front of the two nodes keeps them on the relay, in a
// word for programs and a line for people; nothing if it is not known. sure says
// that no other cause is needed.
func relayReason(self, peer mesh.NAT, name string) (reason, text string, sure bool) {
	switch {
	case self == mesh.NATBlocked:
		return localapi.ReasonOwnUDPBlocked, "UDP is blocked here", true
	case peer == mesh.NATBlocked:
		return localapi.ReasonPeerUDPBlocked, name + "'s UDP is blocked", true
	case self == mesh.NATDependent && peer == mesh.NATDependent:
		return localapi.ReasonBothNATsDepend, "both NATs are symmetric (mapping by destination)", true
	case self == mesh.NATDependent:
		return localapi.ReasonOwnNATDepends, "this node's NAT is symmetric (mapping by destination)", false
	case peer == mesh.NATDependent:
		return localapi.ReasonPeerNATDepends, name + "'s NAT is symmetric (mapping by destination)", false
	}
	return "", "", false
}

// whyRelay joins what is known of the NATs with what the path itself says.
func whyRelay(self, peer mesh.NAT, name, why string) (reason, text string) {
	reason, text, sure := relayReason(self, peer, name)
	switch {
	case reason == "":
		return "", why
	case sure || why == "":
		return reason, text
	}
	return reason, text + "; " + why
}
