package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"nexd/tunnel/tundev"
)

// Clean removes what a node in TUN mode with this state directory has left on the
// host when it was killed, and says what that was. A node that runs is a Conflict.
func Clean(stateDir, iface string) ([]string, error) {
	if iface == "" {
		iface = tundev.DefaultName
	}
	lock, err := lockState(filepath.Join(stateDir, lockFile))
	switch {
	case err == nil:
		defer lock.Close()
	case errors.Is(err, fs.ErrNotExist): // no state, no node
	default:
		return nil, err
	}
	return cleanHost(stateDir, iface)
}

// cleanHost removes the leftovers; no node may run with the state.
func cleanHost(stateDir, iface string) ([]string, error) {
	removed, err := tundev.Clean()
	more, gerr := cleanGateway(stateDir, iface, "")
	return append(removed, more...), errors.Join(err, gerr)
}

// cleanUp removes what an earlier life left that this one does not take over: in
// TUN mode the rules for an interface of another name, in userspace mode all.
// Without privileges nothing can be done.
func (n *node) cleanUp() {
	if n.mode != tunMode && (os.Geteuid() != 0 || tundev.Probe() != nil) {
		return
	}
	iface := n.cfg.Interface
	if iface == "" {
		iface = tundev.DefaultName
	}
	var removed []string
	var err error
	if n.mode == tunMode {
		removed, err = cleanGateway(n.state.dir, "", iface)
	} else {
		removed, err = cleanHost(n.state.dir, iface)
	}
	for _, r := range removed {
		n.log.Info("removed what a killed nexd left", "what", r)
	}
	if err != nil {
		n.log.Warn("what a killed nexd left is not all removed", "err", err)
	}
}
