package node

import (
	"nexd/mesh"
	"nexd/tunnel/reflexive"
)

// The values of PeerStatus.Cause.
const (
	CauseBothNATsDepend = "both-nats-depend"
	CauseOwnNATDepends  = "own-nat-depends"
	CausePeerNATDepends = "peer-nat-depends"
	CauseOwnUDPBlocked  = "own-udp-blocked"
	CausePeerUDPBlocked = "peer-udp-blocked"
)

// natOf returns what this node tells its peers about its NAT.
func natOf(m reflexive.Mapped) mesh.NAT {
	switch {
	case m.Blocked:
		return mesh.NATBlocked
	case m.Mapping.Depends():
		return mesh.NATDependent
	case m.Mapping.Known():
		return mesh.NATIndependent
	}
	return mesh.NATUnknown
}

// natCause says which NAT or firewall keeps two nodes on the relay, in a word for programs
// and a line for people; both are empty if it is not known. sure says that no other cause is
// needed.
func natCause(self, peer mesh.NAT, name string) (cause, text string, sure bool) {
	switch {
	case self == mesh.NATBlocked:
		return CauseOwnUDPBlocked, "UDP is blocked here", true
	case peer == mesh.NATBlocked:
		return CausePeerUDPBlocked, name + "'s UDP is blocked", true
	case self == mesh.NATDependent && peer == mesh.NATDependent:
		return CauseBothNATsDepend, "both NATs are symmetric (mapping by destination)", true
	case self == mesh.NATDependent:
		return CauseOwnNATDepends, "this node's NAT is symmetric (mapping by destination)", false
	case peer == mesh.NATDependent:
		return CausePeerNATDepends, name + "'s NAT is symmetric (mapping by destination)", false
	}
	return "", "", false
}

// relayCause combines the cause in the NATs with the reason that the path gives.
func relayCause(self, peer mesh.NAT, name, why string) (cause, text string) {
	cause, text, sure := natCause(self, peer, name)
	switch {
	case cause == "":
		return "", why
	case sure || why == "":
		return cause, text
	}
	return cause, text + "; " + why
}
