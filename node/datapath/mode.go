package datapath

import (
	"errors"
	"syscall"

	"nexd/mesh"
	"nexd/tunnel/tundev"
)

// Mode is how packets enter and leave the mesh on this host.
type Mode uint8

// The modes.
const (
	Auto      Mode = iota // TUN where this process may make an interface, userspace otherwise
	Userspace             // TCP/IP inside this process; needs no privilege
	TUN                   // an interface and routes of the kernel; needs root or CAP_NET_ADMIN
)

// ErrNoTUN is wrapped by the error of Choose where TUN mode was asked for and is not
// possible.
var ErrNoTUN = errors.New("no TUN mode")

// ErrInterfaceExists is wrapped by the error of New when the interface exists already.
var ErrInterfaceExists = tundev.ErrExists

// Choice is the mode of a node, and why it has it.
type Choice struct {
	tun bool
	Why string
}

// Choose settles the mode of a node. localTargets says that the node dials targets on its own
// loopback or link-local addresses, which only userspace mode can. TUN mode needs a state
// directory, where it notes what to undo on the host after a crash.
func Choose(mode Mode, localTargets, stateDir bool) (Choice, error) {
	return choose(mode, localTargets, stateDir, tundev.Probe)
}

// choose is Choose with the test of whether this process may make an interface.
func choose(mode Mode, localTargets, stateDir bool, probe func() error) (Choice, error) {
	if mode == Userspace {
		return Choice{Why: "asked for"}, nil
	}
	lacking := probe()
	switch {
	case lacking != nil:
	case !stateDir:
		lacking = mesh.Errorf(mesh.Invalid, "it needs a state directory")
	case localTargets:
		lacking = mesh.Errorf(mesh.Invalid, "allowed local targets (allow-local) work in userspace mode only")
	}
	switch {
	case lacking != nil && mode == TUN:
		return Choice{}, mesh.Errorf(mesh.KindOf(lacking), "node: %w: %w", ErrNoTUN, lacking)
	case lacking != nil:
		return Choice{Why: "no TUN mode: " + lacking.Error()}, nil
	case mode == TUN:
		return Choice{tun: true, Why: "asked for"}, nil
	}
	return Choice{tun: true, Why: "this process may make an interface"}, nil
}

// String is the mode as status names it.
func (c Choice) String() string {
	if c.tun {
		return "tun"
	}
	return "userspace"
}

// Outside returns what prepares the sockets of connections to the service. In TUN mode it keeps
// the service reachable even where its address lies in a prefix of the mesh. Nil: nothing.
func (c Choice) Outside() func(network, address string, c syscall.RawConn) error {
	if !c.tun {
		return nil
	}
	return tundev.Outside
}
