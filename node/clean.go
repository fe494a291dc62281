package node

import (
	"nexd/node/datapath"
	"nexd/node/state"
)

// Clean removes what a node in TUN mode left on this host when it was killed, and returns what
// that was, for people. stateDir and iface are as in the node's Config. It is a Conflict while a node
// runs with stateDir.
func Clean(stateDir, iface string) ([]string, error) {
	lock, err := state.Lock(stateDir)
	if err != nil {
		return nil, err
	}
	if lock != nil {
		defer lock.Close()
	}
	return datapath.Clean(stateDir, iface)
}

// MayClean reports whether this process has the privileges for Clean and CleanHost.
func MayClean() bool { return datapath.MayClean() }

// CleanHost is Clean with the state directory of a node in userspace mode, which may run.
func (n *Node) CleanHost() ([]string, error) { return datapath.Clean(n.cfg.StateDir, n.cfg.Interface) }

// TUN reports whether the node runs in TUN mode.
func (n *Node) TUN() bool { return n.path.TUN() }
