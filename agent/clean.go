package agent

import (
	"os"

	"nexd/node"
)

// Clean removes what a node in TUN mode with this state directory has left on the host when
// it was killed, and says what that was. A node that runs is a Conflict.
func Clean(stateDir, iface string) ([]string, error) {
	removed, err := node.Clean(stateDir, iface)
	return removed, hinted(err)
}

// cleanUp removes what a node in TUN mode left on this host when it was killed, if this
// node does not take it over. Without privileges nothing can be done.
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
