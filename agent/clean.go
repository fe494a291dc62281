package agent

import (
	"os"

	"nexd/node"
)

// Clean removes what a killed node in TUN mode with this state directory left on the host, and
// returns a line for each thing. It is a Conflict while the node runs.
func Clean(stateDir, iface string) ([]string, error) {
	removed, err := node.Clean(stateDir, iface)
	return removed, Hinted(err)
}

// cleanUp removes what a killed node in TUN mode left on this host, if this node runs in userspace
// mode and has the privileges.
func (a *agent) cleanUp() {
	if a.node.TUN() || os.Geteuid() != 0 || !node.MayClean() {
		return
	}
	removed, err := a.node.CleanHost()
	for _, r := range removed {
		a.log.Info("removed leftovers of a killed nexd", "what", r)
	}
	if err != nil {
		a.log.Warn("some leftovers of a killed nexd could not be removed", "err", err)
	}
}
